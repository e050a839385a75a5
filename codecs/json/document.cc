/* SPDX-License-Identifier: Apache-2.0
 *
 * The walk over simdjson's On-Demand iterator, the only C++ of the gateway. One scratch a thread:
 * a parser costs several allocations, and a message of 140 bytes should cost none. Any thread.
 */
#define SIMDJSON_EXCEPTIONS 0
#include "codecs/json/document.h"

#include <simdjson.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

extern "C" {
void *mem_realloc(void *old, size_t size);
}

namespace
{

namespace ondemand = simdjson::ondemand;
using simdjson::error_code;

constexpr uint32_t DEPTH_LIMIT = 64;
/* What a thread keeps for the next message; more is given back. */
constexpr size_t TEXT_KEPT = 1024 * 1024;
constexpr size_t NODES_KEPT = 16384;
/* Up to so many keys are compared pair by pair, more are sorted. */
constexpr uint32_t PAIRS_MAX = 16;

template <typename T> struct growing {
    T *items = nullptr;
    size_t capacity = 0;
    ~growing()
    {
        free(items);
    }
    void reserve(size_t need)
    {
        if (need <= capacity)
            return;
        size_t wanted = std::max(need, capacity * 2);
        items = static_cast<T *>(mem_realloc(items, wanted * sizeof(T)));
        capacity = wanted;
    }
    void shrink(size_t kept)
    {
        if (capacity <= kept)
            return;
        free(items);
        items = nullptr;
        capacity = 0;
    }
};

struct scratch {
    ondemand::parser parser;
    growing<uint8_t> text;
    growing<json_node> nodes;
    growing<uint32_t> order;

    /* Before the next document, not after: what was returned is still being read. */
    void begin(size_t size)
    {
        if (parser.capacity() > TEXT_KEPT && size <= TEXT_KEPT)
            parser = ondemand::parser();
        if (size <= TEXT_KEPT)
            text.shrink(TEXT_KEPT + simdjson::SIMDJSON_PADDING);
        nodes.shrink(NODES_KEPT);
        order.shrink(NODES_KEPT);
    }
};

thread_local scratch thread_scratch;

/* The grammar of RFC 8259, section 6: simdjson hands tokens out unread. */
bool number_is_valid(const char *at, const char *end)
{
    auto digits = [&] {
        const char *from = at;
        while (at < end && *at >= '0' && *at <= '9')
            at++;
        return at > from;
    };
    if (at < end && *at == '-')
        at++;
    const char *whole = at;
    if (!digits() || (*whole == '0' && at - whole > 1))
        return false;
    if (at < end && *at == '.') {
        at++;
        if (!digits())
            return false;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        if (!digits())
            return false;
    }
    return at == end;
}

bytes bytes_from(std::string_view in)
{
    return bytes{reinterpret_cast<const uint8_t *>(in.data()), in.size()};
}

class walker
{
  public:
    walker(scratch &memory, const json_limits &limits, json_refusal &refusal)
        : memory_(memory), limits_(limits), refusal_(refusal)
    {
    }

    uint32_t duplicate = 0; /* index of the first, 0: none (the root has no key) */

    bool object(ondemand::object in, bytes key, uint32_t depth)
    {
        uint32_t self;
        if (!open(JSON_OBJECT, key, depth, &self))
            return false;
        for (auto item : in) {
            std::string_view name;
            ondemand::value child;
            /* Through the result, not the field: newer versions want an argument there. */
            if (error_code code = item.unescaped_key().get(name))
                return wrong(code);
            if (error_code code = item.value().get(child))
                return wrong(code);
            if (!value(child, bytes_from(name), depth + 1))
                return false;
            memory_.nodes.items[self].count++;
        }
        close(self);
        mark_duplicates(self);
        return true;
    }

    bool array(ondemand::array in, bytes key, uint32_t depth)
    {
        uint32_t self;
        if (!open(JSON_ARRAY, key, depth, &self))
            return false;
        for (auto item : in) {
            ondemand::value child;
            if (error_code code = std::move(item).get(child))
                return wrong(code);
            if (!value(child, bytes{}, depth + 1))
                return false;
            memory_.nodes.items[self].count++;
        }
        close(self);
        return true;
    }

    bool refuse(const char *reason, const char *text)
    {
        refusal_.reason = reason;
        refusal_.text = text;
        return false;
    }

    bool wrong(error_code code)
    {
        if (code == simdjson::UTF8_ERROR)
            return refuse("utf8", "not UTF-8");
        return refuse("not_json", simdjson::error_message(code));
    }

  private:
    bool value(ondemand::value &in, bytes key, uint32_t depth)
    {
        ondemand::json_type type;
        if (error_code code = in.type().get(type))
            return wrong(code);
        if (type == ondemand::json_type::object) {
            ondemand::object inner;
            if (error_code code = in.get_object().get(inner))
                return wrong(code);
            return object(inner, key, depth);
        }
        if (type == ondemand::json_type::array) {
            ondemand::array inner;
            if (error_code code = in.get_array().get(inner))
                return wrong(code);
            return array(inner, key, depth);
        }
        if (type == ondemand::json_type::string) {
            std::string_view text;
            if (error_code code = in.get_string().get(text))
                return wrong(code);
            return scalar(JSON_STRING, key, bytes_from(text));
        }
        return token(in.raw_json_token(), key);
    }

    /* A number or a literal. The token reaches to the next structural byte: blanks are cut off. */
    bool token(std::string_view text, bytes key)
    {
        while (!text.empty() && memchr(" \t\r\n", text.back(), 4))
            text.remove_suffix(1);
        if (text == "null")
            return scalar(JSON_NULL, key, bytes{});
        if (text == "true")
            return scalar(JSON_TRUE, key, bytes{});
        if (text == "false")
            return scalar(JSON_FALSE, key, bytes{});
        if (number_is_valid(text.data(), text.data() + text.size()))
            return scalar(JSON_NUMBER, key, bytes_from(text));
        refusal_.offset = static_cast<size_t>(reinterpret_cast<const uint8_t *>(text.data()) -
                                              memory_.text.items);
        return refuse("not_json", "neither a number nor true, false or null");
    }

    bool scalar(json_kind kind, bytes key, bytes text)
    {
        uint32_t self;
        return add(kind, key, text, &self);
    }

    bool add(json_kind kind, bytes key, bytes text, uint32_t *self)
    {
        if (count_ == limits_.nodes_max)
            return refuse("too_large", "more values than a message may have");
        memory_.nodes.reserve(count_ + 1);
        *self = count_++;
        memory_.nodes.items[*self] = json_node{key, text, 1, 0, static_cast<uint8_t>(kind), false};
        return true;
    }

    bool open(json_kind kind, bytes key, uint32_t depth, uint32_t *self)
    {
        if (depth >= std::min(limits_.depth_max, DEPTH_LIMIT))
            return refuse("too_deep", "nested deeper than a message may be");
        return add(kind, key, bytes{}, self);
    }

    void close(uint32_t self)
    {
        memory_.nodes.items[self].span = count_ - self;
    }

    void mark(json_node &node)
    {
        uint32_t index = static_cast<uint32_t>(&node - memory_.nodes.items);
        node.again = true;
        if (duplicate == 0 || index < duplicate)
            duplicate = index;
    }

    void mark_duplicates(uint32_t self)
    {
        json_node *nodes = memory_.nodes.items;
        const json_node &parent = nodes[self];
        if (parent.count > PAIRS_MAX)
            return mark_by_sorting(self);
        json_node *end = nodes + self + parent.span;
        for (json_node *a = nodes + self + 1; a < end; a += a->span)
            for (json_node *b = a + a->span; b < end; b += b->span)
                if (a->key.size == b->key.size &&
                    memcmp(a->key.data, b->key.data, a->key.size) == 0)
                    mark(*b);
    }

    /* An object of a million keys is hostile: time stays near linear. */
    void mark_by_sorting(uint32_t self)
    {
        json_node *nodes = memory_.nodes.items;
        uint32_t count = nodes[self].count, index = self + 1;
        memory_.order.reserve(count);
        uint32_t *order = memory_.order.items;
        for (uint32_t i = 0; i < count; i++, index += nodes[index].span)
            order[i] = index;
        auto differs = [&](uint32_t a, uint32_t b) {
            const bytes &left = nodes[a].key, &right = nodes[b].key;
            if (left.size != right.size)
                return left.size < right.size ? -1 : 1;
            return memcmp(left.data, right.data, left.size);
        };
        std::sort(order, order + count, [&](uint32_t a, uint32_t b) {
            int order_of_keys = differs(a, b);
            return order_of_keys ? order_of_keys < 0 : a < b;
        });
        for (uint32_t i = 1; i < count; i++)
            if (differs(order[i - 1], order[i]) == 0)
                mark(nodes[order[i]]);
    }

    scratch &memory_;
    const json_limits &limits_;
    json_refusal &refusal_;
    uint32_t count_ = 0;
};

/* Copy behind which simdjson may read on. */
std::string_view pad(scratch &memory, bytes in)
{
    memory.text.reserve(in.size + simdjson::SIMDJSON_PADDING);
    memcpy(memory.text.items, in.data, in.size);
    memset(memory.text.items + in.size, 0, simdjson::SIMDJSON_PADDING);
    return {reinterpret_cast<const char *>(memory.text.items), in.size};
}

/* Skip a byte order mark and blanks; false when no object or array begins there. */
bool find_start(bytes *in)
{
    if (in->size >= 3 && memcmp(in->data, "\xef\xbb\xbf", 3) == 0)
        *in = bytes{in->data + 3, in->size - 3};
    while (in->size && memchr(" \t\r\n", in->data[0], 4))
        *in = bytes{in->data + 1, in->size - 1};
    return in->size && (in->data[0] == '{' || in->data[0] == '[');
}

bool walk(walker &walker, ondemand::document &document)
{
    ondemand::json_type type;
    bool done;
    if (error_code code = document.type().get(type))
        return walker.wrong(code);
    if (type == ondemand::json_type::object) {
        ondemand::object root;
        if (error_code code = document.get_object().get(root))
            return walker.wrong(code);
        done = walker.object(root, bytes{}, 0);
    } else {
        ondemand::array root;
        if (error_code code = document.get_array().get(root))
            return walker.wrong(code);
        done = walker.array(root, bytes{}, 0);
    }
    /* There is a location only while something is left to read. */
    const char *left;
    if (done && document.current_location().get(left) == simdjson::SUCCESS)
        return walker.refuse("not_json", "more bytes follow the end of the text");
    return done;
}

} // namespace

extern "C" const json_node *json_document_parse(bytes payload, const json_limits *limits,
                                                const json_node **duplicate, json_refusal *refusal)
{
    scratch &memory = thread_scratch;
    bytes in = payload;
    *refusal = json_refusal{"not_json", "", 0};
    *duplicate = nullptr;
    if (!find_start(&in)) {
        refusal->offset = payload.size - in.size;
        refusal->text = in.size ? "neither an object nor an array begins here" : "empty";
        return nullptr;
    }
    memory.begin(in.size);
    std::string_view text = pad(memory, in);
    ondemand::document document;
    walker walker(memory, *limits, *refusal);
    error_code code =
        memory.parser.iterate(text, in.size + simdjson::SIMDJSON_PADDING).get(document);
    if (code ? !walker.wrong(code) : !walk(walker, document)) {
        const char *at = nullptr;
        if (code == simdjson::SUCCESS && refusal->offset == 0 &&
            document.current_location().get(at) == simdjson::SUCCESS)
            refusal->offset = static_cast<size_t>(at - text.data());
        refusal->offset += payload.size - in.size;
        return nullptr;
    }
    if (walker.duplicate)
        *duplicate = memory.nodes.items + walker.duplicate;
    return memory.nodes.items;
}
