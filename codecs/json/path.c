/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths: parser and search. The search visits a node at most once a path, so its time is linear in
 * the document. Any thread.
 */
#include "codecs/json/path.h"

#include "codecs/json/value.h"

struct parser {
    struct bytes text;
    size_t at;
    struct arena *arena;
    struct err *err;
    struct json_step *steps;
    struct json_path *path;
    size_t keys; /* KEYS steps so far */
};

/* ---- parsing ---- */

static int wrong(struct parser *parser, const char *what)
{
    return err_set(parser->err, GW_EINVAL, "path \"%.*s\", character %zu: %s",
                   (int)(parser->text.size < 200 ? parser->text.size : 200),
                   (const char *)parser->text.data, parser->at + 1, what);
}

static int peek(const struct parser *parser)
{
    return parser->at < parser->text.size ? parser->text.data[parser->at] : -1;
}

/* "a key", with \" and \\ inside. */
static int take_quoted(struct parser *parser, struct bytes *out)
{
    uint8_t *copy = arena_alloc(parser->arena, parser->text.size);
    size_t size = 0;
    parser->at++;
    while (peek(parser) >= 0 && peek(parser) != '"') {
        if (peek(parser) == '\\')
            parser->at++;
        if (peek(parser) < 0)
            break;
        copy[size++] = parser->text.data[parser->at++];
    }
    if (peek(parser) < 0)
        return wrong(parser, "a quote is not closed");
    parser->at++;
    *out = bytes_of(copy, size);
    return 0;
}

/* A word up to one of `stops`, or a quoted one. */
static int take_word(struct parser *parser, const char *stops, struct bytes *out)
{
    if (peek(parser) == '"')
        return take_quoted(parser, out);
    size_t from = parser->at;
    while (peek(parser) > 0 && strchr(stops, peek(parser)) == NULL)
        parser->at++;
    if (parser->at == from)
        return wrong(parser, "a key is missing here");
    *out = arena_copy(parser->arena, bytes_of(parser->text.data + from, parser->at - from));
    return 0;
}

static int take_index(struct parser *parser, struct json_step *step)
{
    uint64_t index = 0;
    while (peek(parser) >= '0' && peek(parser) <= '9' && index < 1000000)
        index = index * 10 + (uint64_t)(parser->text.data[parser->at++] - '0');
    if (peek(parser) != ']')
        return wrong(parser, "an index is a number below 1000000, and \"]\" follows it");
    parser->at++;
    *step = (struct json_step){.kind = JSON_STEP_INDEX, .index = (uint32_t)index};
    return 0;
}

/* What follows "[". */
static int take_bracket(struct parser *parser, struct json_step *step)
{
    parser->at++;
    if (peek(parser) == ']') {
        parser->at++;
        parser->path->many = true;
        *step = (struct json_step){.kind = JSON_STEP_ITEMS};
        return 0;
    }
    if (peek(parser) >= '0' && peek(parser) <= '9')
        return take_index(parser, step);
    *step = (struct json_step){.kind = JSON_STEP_WHERE};
    if (take_word(parser, "=]", &step->key))
        return GW_EINVAL;
    if (peek(parser) != '=')
        return wrong(parser, "in brackets stands nothing, an index, or key=text");
    parser->at++;
    if (take_word(parser, "]", &step->equals))
        return GW_EINVAL;
    if (peek(parser) != ']')
        return wrong(parser, "\"]\" is missing");
    parser->at++;
    return 0;
}

static int take_keys(struct parser *parser, struct json_step *step)
{
    *step = (struct json_step){.kind = JSON_STEP_KEYS};
    parser->path->many = true;
    if (parser->keys++ == JSON_PATH_KEYS_MAX)
        return wrong(parser, "more than 4 steps over all keys");
    if (peek(parser) == '*') {
        parser->at++;
        return 0;
    }
    parser->at++;
    if (take_word(parser, "}", &step->key))
        return GW_EINVAL;
    if (peek(parser) != '}')
        return wrong(parser, "\"}\" is missing");
    parser->at++;
    return 0;
}

static int take_step(struct parser *parser, struct json_step *step)
{
    bool dot = peek(parser) == '.';
    if (!dot && peek(parser) == '[')
        return take_bracket(parser, step);
    if (!dot && parser->at > 0)
        return wrong(parser, "\".\" or \"[\" is expected here");
    parser->at += dot;
    if (peek(parser) == '*' || peek(parser) == '{')
        return take_keys(parser, step);
    *step = (struct json_step){.kind = JSON_STEP_KEY};
    return take_word(parser, ".[]{}*\"= ", &step->key);
}

int json_path_parse(struct json_path *path, struct bytes text, struct arena *arena, struct err *err)
{
    struct parser parser = {.text = text, .arena = arena, .err = err, .path = path};
    *path = (struct json_path){.set = true};
    if (text.size == 0)
        return wrong(&parser, "a path must not be empty");
    parser.steps = arena_alloc(arena, JSON_PATH_STEPS_MAX * sizeof *parser.steps);
    path->steps = parser.steps;
    if (peek(&parser) == '$') {
        path->rooted = true;
        parser.at++;
    } else if (text.size == 1 && peek(&parser) == '.') {
        return 0; /* the point itself */
    }
    while (peek(&parser) >= 0) {
        if (path->count == JSON_PATH_STEPS_MAX)
            return wrong(&parser, "more than 16 steps");
        if (take_step(&parser, &parser.steps[path->count]))
            return GW_EINVAL;
        path->count++;
    }
    return 0;
}

/* ---- searching ---- */

static const struct json_node *item_at(const struct json_node *array, uint32_t index)
{
    if (array->kind != JSON_ARRAY || index >= array->count)
        return NULL;
    JSON_EACH(item, array)
    if (index-- == 0)
        return item;
    return NULL;
}

static const struct json_node *item_where(const struct json_node *array,
                                          const struct json_step *step)
{
    if (array->kind != JSON_ARRAY)
        return NULL;
    JSON_EACH(item, array)
    {
        const struct json_node *member = json_member(item, step->key);
        struct bytes text;
        if (member && json_scalar_text(member, &text) && bytes_equal(text, step->equals))
            return item;
    }
    return NULL;
}

static const struct json_node *follow(const struct json_step *step, const struct json_node *node)
{
    switch (step->kind) {
    case JSON_STEP_KEY: return json_member(node, step->key);
    case JSON_STEP_INDEX: return item_at(node, step->index);
    case JSON_STEP_WHERE: return item_where(node, step);
    case JSON_STEP_ITEMS:
    case JSON_STEP_KEYS: break;
    }
    return NULL;
}

const struct json_node *json_path_find(const struct json_path *path, const struct json_node *from)
{
    if (!path->set)
        return NULL;
    for (size_t i = 0; from && i < path->count; i++)
        from = follow(&path->steps[i], from);
    return from;
}

struct search {
    struct json_match match;
    bool (*on_match)(void *arg, const struct json_match *match);
    void *arg;
};

static bool search_from(struct search *search, size_t index, const struct json_node *node);

static bool search_children(struct search *search, size_t index, const struct json_node *node)
{
    bool keyed = search->match.path->steps[index].kind == JSON_STEP_KEYS;
    if (node->kind != (keyed ? JSON_OBJECT : JSON_ARRAY))
        return keyed || search_from(search, index + 1, node);
    bool more = true;
    JSON_EACH(child, node)
    {
        if (!more)
            break;
        if (keyed)
            search->match.keys[search->match.key_count++] = child->key;
        more = search_from(search, index + 1, child);
        search->match.key_count -= keyed;
    }
    return more;
}

/* At most 16 calls deep: one a step. */
static bool search_from(struct search *search, size_t index, const struct json_node *node)
{
    const struct json_path *path = search->match.path;
    for (; index < path->count; index++) {
        const struct json_step *step = &path->steps[index];
        if (step->kind == JSON_STEP_ITEMS || step->kind == JSON_STEP_KEYS)
            return search_children(search, index, node);
        node = follow(step, node);
        if (node == NULL)
            return true;
    }
    search->match.node = node;
    return search->on_match(search->arg, &search->match);
}

bool json_path_each(const struct json_path *path, const struct json_node *from,
                    bool (*on_match)(void *arg, const struct json_match *match), void *arg)
{
    struct search search = {.match = {.path = path}, .on_match = on_match, .arg = arg};
    return search_from(&search, 0, from);
}

struct bytes json_match_key(const struct json_match *match, struct bytes name)
{
    size_t key = match ? match->key_count : 0;
    for (size_t i = match ? match->path->count : 0; i > 0; i--) {
        const struct json_step *step = &match->path->steps[i - 1];
        if (step->kind != JSON_STEP_KEYS)
            continue;
        key--;
        if (name.size == 0 || bytes_equal(step->key, name))
            return match->keys[key];
    }
    return (struct bytes){0};
}
