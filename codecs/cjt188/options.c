/* SPDX-License-Identifier: Apache-2.0
 *
 * The options of the codec from YAML. Main thread; the result is read-only.
 */
#include "codecs/cjt188/options.h"

#include <stdlib.h>

#include "base/yaml.h"

static const char *const device_names[] = {"address", "number", "route", NULL};

#define ROW(member) offsetof(struct cjt188_options, member)
const struct option cjt188_option_rows[] = {
    {"litre_decimals", OPTION_INT, ROW(litre_decimals), "2", 0, 3, NULL,
     "Decimals of volumes in litres: 2 as the standard has it, 0 for makers that send whole "
     "litres."},
    {"device", OPTION_ENUM, ROW(device), "address", 0, 0, device_names,
     "Device name: the whole address of 14 digits, its last 10 without the maker's code, or the "
     "route's {device} (unless the payload has frames of several meters)."},
    {"valve_closed_mask", OPTION_INT, ROW(valve_closed_mask), "1", 0, 65535, NULL,
     "Status bits that say the valve is closed, as ST0 + 256 * ST1; 0 for meters without valve."},
    {"valve_fault_mask", OPTION_INT, ROW(valve_fault_mask), "2", 0, 65535, NULL,
     "Status bits that say the valve is faulty; 0 for none."},
    {"battery_low_mask", OPTION_INT, ROW(battery_low_mask), "4", 0, 65535, NULL,
     "Status bits that say the battery is low; 0 for none."},
    {0},
};

int cjt188_configure(struct bytes text, const char *origin, void **config, struct buffer *errors)
{
    struct cjt188_options *options = mem_zalloc(sizeof *options);
    struct yaml yaml = {0};
    option_defaults(cjt188_option_rows, options);
    int result = yaml_parse(&yaml, text, origin, errors);
    if (result == 0 && !yaml_is_null(yaml.root)) {
        result = yaml_expect(&yaml, yaml.root, YAML_MAPPING, "the options of cjt188")
                     ? yaml_set_options(&yaml, yaml.root, cjt188_option_rows, options, NULL)
                     : GW_EINVAL;
    }
    yaml_fini(&yaml);
    if (result != 0) {
        cjt188_config_free(options);
        return GW_EINVAL;
    }
    *config = options;
    return 0;
}

void cjt188_config_free(void *config)
{
    if (config)
        option_fini(cjt188_option_rows, config);
    free(config);
}
