/* SPDX-License-Identifier: Apache-2.0
 *
 * Units of measure. Separate because the table is long and everybody converts through it: codecs
 * say the unit that was sent, the normaliser wants the canonical one. Any thread: the index is
 * built once and then only read.
 *
 * A unit is an exact rational factor to the base unit of its quantity, and for temperatures an
 * offset. What is equal only under an assumption about the measurement (FNU and NTU, a level from
 * a pressure) is not converted here.
 *
 * Sources: BIPM, The International System of Units, 9th edition (prefixes, L, t, h, d); NIST SP
 * 811 (2008) appendix B.8 (kgf/cm2, mH2O by standard gravity 9.80665 m/s2, psi, ft, in, US gallon
 * of 231 in3, imperial gallon of 4.54609 L, cal_IT of 4.1868 J).
 */
#include "model/unit.h"

#include <pthread.h>
#include <xxhash.h>

enum quantity {
    PURE, /* counts, states, pH: no unit */
    VOLUME,
    FLOW,
    PRESSURE,
    LENGTH,
    SPEED,
    TEMPERATURE,
    CONCENTRATION,
    CONDUCTIVITY,
    TURBIDITY_NTU,
    TURBIDITY_FNU,
    VOLTAGE,
    CURRENT,
    POWER,
    REACTIVE_POWER,
    APPARENT_POWER,
    ENERGY,
    FREQUENCY,
    ROTATION,
    DURATION,
    RATIO,
    LEVEL_DBM,
    LEVEL_DB,
};

/* How much of a spelling's case may differ. Where upper and lower case are different prefixes (m
 * and M), the first letter is kept; where the rest carries meaning too, all of it. */
enum fold { ANY_CASE, KEEP_FIRST, EXACT };

struct unit {
    const char *name;
    enum quantity quantity;
    int64_t numerator; /* base = (value + offset) * numerator / denominator * 10^exponent */
    int64_t denominator;
    int8_t exponent;
    struct decimal offset;
};

enum {
    U_NONE,
    U_M3,
    U_L,
    U_ML,
    U_MEGALITRE,
    U_10L,
    U_100L,
    U_10M3,
    U_100M3,
    U_10KM3,
    U_FT3,
    U_CCF,
    U_USGAL,
    U_IMPGAL,
    U_M3H,
    U_LS,
    U_M3S,
    U_LMIN,
    U_LH,
    U_M3D,
    U_LD,
    U_M3MIN,
    U_MLD,
    U_FT3H,
    U_FT3MIN,
    U_FT3S,
    U_USGPM,
    U_USGPH,
    U_KPA,
    U_PA,
    U_HPA,
    U_MPA,
    U_BAR,
    U_MBAR,
    U_KGFCM2,
    U_ATM,
    U_MH2O,
    U_CMH2O,
    U_MMH2O,
    U_PSI,
    U_M,
    U_MM,
    U_CM,
    U_DM,
    U_KM,
    U_FT,
    U_IN,
    U_MS,
    U_CMS,
    U_DEGC,
    U_K,
    U_DEGF,
    U_MGL,
    U_UGL,
    U_GL,
    U_MGM3,
    U_GM3,
    U_KGM3,
    U_PPM,
    U_PPB,
    U_USCM,
    U_MSCM,
    U_SM,
    U_MSM,
    U_DSM,
    U_USM,
    U_NTU,
    U_FNU,
    U_V,
    U_MV,
    U_KV,
    U_A,
    U_MA,
    U_KW,
    U_W,
    U_MW,
    U_JH,
    U_KJH,
    U_MJH,
    U_GJH,
    U_KVAR,
    U_VAR,
    U_KVA,
    U_VA,
    U_KWH,
    U_WH,
    U_MWH,
    U_J,
    U_KJ,
    U_MJ,
    U_GJ,
    U_KCAL,
    U_MCAL,
    U_GCAL,
    U_HZ,
    U_RPM,
    U_H,
    U_MIN,
    U_S,
    U_D,
    U_PERCENT,
    U_DBM,
    U_DB,
    UNIT_COUNT
};

/* The base of a quantity is the row with factor 1. */
static const struct unit units[UNIT_COUNT] = {
    [U_NONE] = {"", PURE, 1, 1, 0, {0}},

    [U_M3] = {"m3", VOLUME, 1, 1, 0, {0}},
    [U_L] = {"L", VOLUME, 1, 1, -3, {0}},
    [U_ML] = {"mL", VOLUME, 1, 1, -6, {0}},
    [U_MEGALITRE] = {"ML", VOLUME, 1, 1, 3, {0}},
    [U_10L] = {"10L", VOLUME, 1, 1, -2, {0}},
    [U_100L] = {"100L", VOLUME, 1, 1, -1, {0}},
    [U_10M3] = {"10m3", VOLUME, 1, 1, 1, {0}},
    [U_100M3] = {"100m3", VOLUME, 1, 1, 2, {0}},
    [U_10KM3] = {"10000m3", VOLUME, 1, 1, 4, {0}},
    [U_FT3] = {"ft3", VOLUME, 28316846592, 1, -12, {0}},
    [U_CCF] = {"100ft3", VOLUME, 28316846592, 1, -10, {0}},
    [U_USGAL] = {"USgal", VOLUME, 3785411784, 1, -12, {0}},
    [U_IMPGAL] = {"impgal", VOLUME, 454609, 1, -8, {0}},

    [U_M3H] = {"m3/h", FLOW, 1, 1, 0, {0}},
    [U_LS] = {"L/s", FLOW, 36, 1, -1, {0}},
    [U_M3S] = {"m3/s", FLOW, 3600, 1, 0, {0}},
    [U_LMIN] = {"L/min", FLOW, 6, 1, -2, {0}},
    [U_LH] = {"L/h", FLOW, 1, 1, -3, {0}},
    [U_M3D] = {"m3/d", FLOW, 1, 24, 0, {0}},
    [U_LD] = {"L/d", FLOW, 1, 24, -3, {0}},
    [U_M3MIN] = {"m3/min", FLOW, 60, 1, 0, {0}},
    [U_MLD] = {"ML/d", FLOW, 1, 24, 3, {0}},
    [U_FT3H] = {"ft3/h", FLOW, 28316846592, 1, -12, {0}},
    [U_FT3MIN] = {"ft3/min", FLOW, 28316846592 * 60, 1, -12, {0}},
    [U_FT3S] = {"ft3/s", FLOW, 28316846592 * 3600, 1, -12, {0}},
    [U_USGPM] = {"USgal/min", FLOW, 3785411784 * 60, 1, -12, {0}},
    [U_USGPH] = {"USgal/h", FLOW, 3785411784, 1, -12, {0}},

    [U_KPA] = {"kPa", PRESSURE, 1, 1, 0, {0}},
    [U_PA] = {"Pa", PRESSURE, 1, 1, -3, {0}},
    [U_HPA] = {"hPa", PRESSURE, 1, 1, -1, {0}},
    [U_MPA] = {"MPa", PRESSURE, 1, 1, 3, {0}},
    [U_BAR] = {"bar", PRESSURE, 1, 1, 2, {0}},
    [U_MBAR] = {"mbar", PRESSURE, 1, 1, -1, {0}},
    [U_KGFCM2] = {"kgf/cm2", PRESSURE, 980665, 1, -4, {0}},
    [U_ATM] = {"atm", PRESSURE, 101325, 1, -3, {0}},
    [U_MH2O] = {"mH2O", PRESSURE, 980665, 1, -5, {0}},
    [U_CMH2O] = {"cmH2O", PRESSURE, 980665, 1, -7, {0}},
    [U_MMH2O] = {"mmH2O", PRESSURE, 980665, 1, -8, {0}},
    /* The pound-force per square inch to 13 digits: the next ones are beyond every sensor, and the
     * full ratio would have no finite result. */
    [U_PSI] = {"psi", PRESSURE, 6894757293168, 1, -12, {0}},

    [U_M] = {"m", LENGTH, 1, 1, 0, {0}},
    [U_MM] = {"mm", LENGTH, 1, 1, -3, {0}},
    [U_CM] = {"cm", LENGTH, 1, 1, -2, {0}},
    [U_DM] = {"dm", LENGTH, 1, 1, -1, {0}},
    [U_KM] = {"km", LENGTH, 1, 1, 3, {0}},
    [U_FT] = {"ft", LENGTH, 3048, 1, -4, {0}},
    [U_IN] = {"in", LENGTH, 254, 1, -4, {0}},

    [U_MS] = {"m/s", SPEED, 1, 1, 0, {0}},
    [U_CMS] = {"cm/s", SPEED, 1, 1, -2, {0}},

    [U_DEGC] = {"degC", TEMPERATURE, 1, 1, 0, {0}},
    [U_K] = {"K", TEMPERATURE, 1, 1, 0, {-27315, -2}},
    [U_DEGF] = {"degF", TEMPERATURE, 5, 9, 0, {-32, 0}},

    /* Parts per million by mass are mg/L where a litre of water is a kilogram, as the tonne of
     * water is a cubic metre in billing; sensors sold as "ppm" are calibrated in mg/L. */
    [U_MGL] = {"mg/L", CONCENTRATION, 1, 1, 0, {0}},
    [U_UGL] = {"ug/L", CONCENTRATION, 1, 1, -3, {0}},
    [U_GL] = {"g/L", CONCENTRATION, 1, 1, 3, {0}},
    [U_MGM3] = {"mg/m3", CONCENTRATION, 1, 1, -3, {0}},
    [U_GM3] = {"g/m3", CONCENTRATION, 1, 1, 0, {0}},
    [U_KGM3] = {"kg/m3", CONCENTRATION, 1, 1, 3, {0}},
    [U_PPM] = {"ppm", CONCENTRATION, 1, 1, 0, {0}},
    [U_PPB] = {"ppb", CONCENTRATION, 1, 1, -3, {0}},

    [U_USCM] = {"uS/cm", CONDUCTIVITY, 1, 1, 0, {0}},
    [U_MSCM] = {"mS/cm", CONDUCTIVITY, 1, 1, 3, {0}},
    [U_SM] = {"S/m", CONDUCTIVITY, 1, 1, 4, {0}},
    [U_MSM] = {"mS/m", CONDUCTIVITY, 1, 1, 1, {0}},
    [U_DSM] = {"dS/m", CONDUCTIVITY, 1, 1, 3, {0}},
    [U_USM] = {"uS/m", CONDUCTIVITY, 1, 1, -2, {0}},

    /* Near each other on formazin, but different methods: never converted. */
    [U_NTU] = {"NTU", TURBIDITY_NTU, 1, 1, 0, {0}},
    [U_FNU] = {"FNU", TURBIDITY_FNU, 1, 1, 0, {0}},

    [U_V] = {"V", VOLTAGE, 1, 1, 0, {0}},
    [U_MV] = {"mV", VOLTAGE, 1, 1, -3, {0}},
    [U_KV] = {"kV", VOLTAGE, 1, 1, 3, {0}},
    [U_A] = {"A", CURRENT, 1, 1, 0, {0}},
    [U_MA] = {"mA", CURRENT, 1, 1, -3, {0}},

    [U_KW] = {"kW", POWER, 1, 1, 0, {0}},
    [U_W] = {"W", POWER, 1, 1, -3, {0}},
    [U_MW] = {"MW", POWER, 1, 1, 3, {0}},
    [U_JH] = {"J/h", POWER, 1, 36, -5, {0}},
    [U_KJH] = {"kJ/h", POWER, 1, 36, -2, {0}},
    [U_MJH] = {"MJ/h", POWER, 1, 36, 1, {0}},
    [U_GJH] = {"GJ/h", POWER, 1, 36, 4, {0}},
    [U_KVAR] = {"kvar", REACTIVE_POWER, 1, 1, 0, {0}},
    [U_VAR] = {"var", REACTIVE_POWER, 1, 1, -3, {0}},
    [U_KVA] = {"kVA", APPARENT_POWER, 1, 1, 0, {0}},
    [U_VA] = {"VA", APPARENT_POWER, 1, 1, -3, {0}},

    [U_KWH] = {"kWh", ENERGY, 36, 1, -4, {0}},
    [U_WH] = {"Wh", ENERGY, 36, 1, -7, {0}},
    [U_MWH] = {"MWh", ENERGY, 36, 1, -1, {0}},
    [U_J] = {"J", ENERGY, 1, 1, -9, {0}},
    [U_KJ] = {"kJ", ENERGY, 1, 1, -6, {0}},
    [U_MJ] = {"MJ", ENERGY, 1, 1, -3, {0}},
    [U_GJ] = {"GJ", ENERGY, 1, 1, 0, {0}},
    [U_KCAL] = {"kcal", ENERGY, 41868, 1, -10, {0}},
    [U_MCAL] = {"Mcal", ENERGY, 41868, 1, -7, {0}},
    [U_GCAL] = {"Gcal", ENERGY, 41868, 1, -4, {0}},

    [U_HZ] = {"Hz", FREQUENCY, 1, 1, 0, {0}},
    [U_RPM] = {"rpm", ROTATION, 1, 1, 0, {0}},

    [U_H] = {"h", DURATION, 1, 1, 0, {0}},
    [U_MIN] = {"min", DURATION, 1, 60, 0, {0}},
    [U_S] = {"s", DURATION, 1, 3600, 0, {0}},
    [U_D] = {"d", DURATION, 24, 1, 0, {0}},

    [U_PERCENT] = {"%", RATIO, 1, 1, 0, {0}},
    [U_DBM] = {"dBm", LEVEL_DBM, 1, 1, 0, {0}},
    [U_DB] = {"dB", LEVEL_DB, 1, 1, 0, {0}},
};

struct spelling {
    const char *text;
    uint8_t unit;
    uint8_t fold;
};

/* What is written in payloads. Two spellings that differ only in case stand here only where their
 * folds keep them apart. Left out because they name different units in different places: "gal",
 * "gpm" (US or imperial), "mpa" and "mw" (milli or mega), "MS/m", "度" (turbidity or kWh). */
static const struct spelling spellings[] = {
    {"", U_NONE, EXACT},
    {"pH", U_NONE, ANY_CASE},
    {"无量纲", U_NONE, EXACT},

    {"m3", U_M3, ANY_CASE},
    {"m^3", U_M3, ANY_CASE},
    {"m³", U_M3, ANY_CASE},
    {"㎥", U_M3, EXACT},
    {"cbm", U_M3, ANY_CASE},
    {"kL", U_M3, ANY_CASE},
    {"t", U_M3, EXACT},
    {"吨", U_M3, EXACT},
    {"噸", U_M3, EXACT},
    {"方", U_M3, EXACT},
    {"立方", U_M3, EXACT},
    {"立方米", U_M3, EXACT},
    {"L", U_L, ANY_CASE},
    {"dm3", U_L, ANY_CASE},
    {"dm³", U_L, ANY_CASE},
    {"ltr", U_L, ANY_CASE},
    {"litre", U_L, ANY_CASE},
    {"litres", U_L, ANY_CASE},
    {"liter", U_L, ANY_CASE},
    {"liters", U_L, ANY_CASE},
    {"升", U_L, EXACT},
    {"公升", U_L, EXACT},
    {"mL", U_ML, KEEP_FIRST},
    {"毫升", U_ML, EXACT},
    {"ML", U_MEGALITRE, EXACT},
    {"10L", U_10L, ANY_CASE},
    {"10 L", U_10L, ANY_CASE},
    {"100L", U_100L, ANY_CASE},
    {"100 L", U_100L, ANY_CASE},
    {"10m3", U_10M3, ANY_CASE},
    {"100m3", U_100M3, ANY_CASE},
    {"10000m3", U_10KM3, ANY_CASE},
    {"万吨", U_10KM3, EXACT},
    {"万方", U_10KM3, EXACT},
    {"万立方米", U_10KM3, EXACT},
    {"ft3", U_FT3, ANY_CASE},
    {"ft^3", U_FT3, ANY_CASE},
    {"ft³", U_FT3, ANY_CASE},
    {"cu ft", U_FT3, ANY_CASE},
    {"cuft", U_FT3, ANY_CASE},
    {"100ft3", U_CCF, ANY_CASE},
    {"CCF", U_CCF, ANY_CASE},
    {"USgal", U_USGAL, ANY_CASE},
    {"US gal", U_USGAL, ANY_CASE},
    {"gal_us", U_USGAL, ANY_CASE},
    {"impgal", U_IMPGAL, ANY_CASE},
    {"imp gal", U_IMPGAL, ANY_CASE},
    {"gal_uk", U_IMPGAL, ANY_CASE},

    {"m3/h", U_M3H, ANY_CASE},
    {"m^3/h", U_M3H, ANY_CASE},
    {"m³/h", U_M3H, ANY_CASE},
    {"㎥/h", U_M3H, ANY_CASE},
    {"m3/hr", U_M3H, ANY_CASE},
    {"m3h", U_M3H, ANY_CASE},
    {"cmh", U_M3H, ANY_CASE},
    {"t/h", U_M3H, EXACT},
    {"吨/小时", U_M3H, EXACT},
    {"吨/时", U_M3H, EXACT},
    {"方/小时", U_M3H, EXACT},
    {"方/时", U_M3H, EXACT},
    {"立方/小时", U_M3H, EXACT},
    {"立方米/小时", U_M3H, EXACT},
    {"立方米/时", U_M3H, EXACT},
    {"立方米每小时", U_M3H, EXACT},
    {"L/s", U_LS, ANY_CASE},
    {"lps", U_LS, ANY_CASE},
    {"升/秒", U_LS, EXACT},
    {"m3/s", U_M3S, ANY_CASE},
    {"m^3/s", U_M3S, ANY_CASE},
    {"m³/s", U_M3S, ANY_CASE},
    {"立方米/秒", U_M3S, EXACT},
    {"L/min", U_LMIN, ANY_CASE},
    {"lpm", U_LMIN, ANY_CASE},
    {"升/分", U_LMIN, EXACT},
    {"升/分钟", U_LMIN, EXACT},
    {"L/h", U_LH, ANY_CASE},
    {"L/hr", U_LH, ANY_CASE},
    {"lph", U_LH, ANY_CASE},
    {"升/小时", U_LH, EXACT},
    {"升/时", U_LH, EXACT},
    {"m3/d", U_M3D, ANY_CASE},
    {"m^3/d", U_M3D, ANY_CASE},
    {"m³/d", U_M3D, ANY_CASE},
    {"m3/day", U_M3D, ANY_CASE},
    {"t/d", U_M3D, EXACT},
    {"吨/天", U_M3D, EXACT},
    {"吨/日", U_M3D, EXACT},
    {"方/天", U_M3D, EXACT},
    {"立方米/天", U_M3D, EXACT},
    {"立方米/日", U_M3D, EXACT},
    {"L/d", U_LD, ANY_CASE},
    {"L/day", U_LD, ANY_CASE},
    {"m3/min", U_M3MIN, ANY_CASE},
    {"m³/min", U_M3MIN, ANY_CASE},
    {"ML/d", U_MLD, EXACT},
    {"ft3/h", U_FT3H, ANY_CASE},
    {"ft3/min", U_FT3MIN, ANY_CASE},
    {"cfm", U_FT3MIN, ANY_CASE},
    {"ft3/s", U_FT3S, ANY_CASE},
    {"cfs", U_FT3S, ANY_CASE},
    {"USgal/min", U_USGPM, ANY_CASE},
    {"US gal/min", U_USGPM, ANY_CASE},
    {"USgpm", U_USGPM, ANY_CASE},
    {"USgal/h", U_USGPH, ANY_CASE},
    {"US gal/h", U_USGPH, ANY_CASE},

    {"kPa", U_KPA, ANY_CASE},
    {"千帕", U_KPA, EXACT},
    {"Pa", U_PA, ANY_CASE},
    {"帕", U_PA, EXACT},
    {"hPa", U_HPA, ANY_CASE},
    {"百帕", U_HPA, EXACT},
    {"MPa", U_MPA, KEEP_FIRST},
    {"兆帕", U_MPA, EXACT},
    {"bar", U_BAR, ANY_CASE},
    {"mbar", U_MBAR, KEEP_FIRST},
    {"kgf/cm2", U_KGFCM2, ANY_CASE},
    {"kgf/cm^2", U_KGFCM2, ANY_CASE},
    {"kgf/cm²", U_KGFCM2, ANY_CASE},
    {"kg/cm2", U_KGFCM2, ANY_CASE},
    {"kg/cm²", U_KGFCM2, ANY_CASE},
    {"atm", U_ATM, ANY_CASE},
    {"mH2O", U_MH2O, KEEP_FIRST},
    {"mH₂O", U_MH2O, KEEP_FIRST},
    {"mwc", U_MH2O, KEEP_FIRST},
    {"m水柱", U_MH2O, EXACT},
    {"米水柱", U_MH2O, EXACT},
    {"cmH2O", U_CMH2O, ANY_CASE},
    {"mmH2O", U_MMH2O, KEEP_FIRST},
    {"毫米水柱", U_MMH2O, EXACT},
    {"psi", U_PSI, ANY_CASE},

    {"m", U_M, EXACT},
    {"米", U_M, EXACT},
    {"mm", U_MM, EXACT},
    {"毫米", U_MM, EXACT},
    {"cm", U_CM, ANY_CASE},
    {"厘米", U_CM, EXACT},
    {"dm", U_DM, EXACT},
    {"km", U_KM, EXACT},
    {"ft", U_FT, ANY_CASE},
    {"in", U_IN, ANY_CASE},
    {"inch", U_IN, ANY_CASE},

    {"m/s", U_MS, EXACT},
    {"米/秒", U_MS, EXACT},
    {"cm/s", U_CMS, ANY_CASE},

    {"degC", U_DEGC, ANY_CASE},
    {"deg C", U_DEGC, ANY_CASE},
    {"°C", U_DEGC, ANY_CASE},
    {"℃", U_DEGC, EXACT},
    {"C", U_DEGC, EXACT},
    {"Cel", U_DEGC, ANY_CASE},
    {"celsius", U_DEGC, ANY_CASE},
    {"摄氏度", U_DEGC, EXACT},
    {"K", U_K, EXACT},
    {"kelvin", U_K, ANY_CASE},
    {"degF", U_DEGF, ANY_CASE},
    {"°F", U_DEGF, ANY_CASE},
    {"℉", U_DEGF, EXACT},
    {"fahrenheit", U_DEGF, ANY_CASE},

    {"mg/L", U_MGL, KEEP_FIRST},
    {"MG/L", U_MGL, EXACT}, /* a megagram a litre cannot be */
    {"毫克/升", U_MGL, EXACT},
    {"ug/L", U_UGL, ANY_CASE},
    {"µg/L", U_UGL, ANY_CASE}, /* U+00B5 */
    {"μg/L", U_UGL, ANY_CASE}, /* U+03BC */
    {"微克/升", U_UGL, EXACT},
    {"g/L", U_GL, ANY_CASE},
    {"克/升", U_GL, EXACT},
    {"mg/m3", U_MGM3, KEEP_FIRST},
    {"mg/m³", U_MGM3, KEEP_FIRST},
    {"g/m3", U_GM3, ANY_CASE},
    {"g/m³", U_GM3, ANY_CASE},
    {"kg/m3", U_KGM3, ANY_CASE},
    {"kg/m³", U_KGM3, ANY_CASE},
    {"ppm", U_PPM, ANY_CASE},
    {"ppb", U_PPB, ANY_CASE},

    {"uS/cm", U_USCM, ANY_CASE},
    {"µS/cm", U_USCM, ANY_CASE}, /* U+00B5 */
    {"μS/cm", U_USCM, ANY_CASE}, /* U+03BC */
    {"微西门子/厘米", U_USCM, EXACT},
    {"mS/cm", U_MSCM, KEEP_FIRST},
    {"毫西门子/厘米", U_MSCM, EXACT},
    {"S/m", U_SM, EXACT},
    {"mS/m", U_MSM, EXACT},
    {"dS/m", U_DSM, EXACT},
    {"uS/m", U_USM, EXACT},
    {"µS/m", U_USM, EXACT},
    {"μS/m", U_USM, EXACT},

    {"NTU", U_NTU, ANY_CASE},
    {"FNU", U_FNU, ANY_CASE},

    {"V", U_V, ANY_CASE},
    {"伏", U_V, EXACT},
    {"mV", U_MV, KEEP_FIRST},
    {"毫伏", U_MV, EXACT},
    {"kV", U_KV, ANY_CASE},
    {"A", U_A, EXACT},
    {"安", U_A, EXACT},
    {"mA", U_MA, KEEP_FIRST},
    {"毫安", U_MA, EXACT},

    {"kW", U_KW, ANY_CASE},
    {"千瓦", U_KW, EXACT},
    {"W", U_W, ANY_CASE},
    {"瓦", U_W, EXACT},
    {"MW", U_MW, KEEP_FIRST},
    {"J/h", U_JH, ANY_CASE},
    {"kJ/h", U_KJH, ANY_CASE},
    {"MJ/h", U_MJH, KEEP_FIRST},
    {"GJ/h", U_GJH, ANY_CASE},
    {"kvar", U_KVAR, ANY_CASE},
    {"var", U_VAR, ANY_CASE},
    {"kVA", U_KVA, ANY_CASE},
    {"VA", U_VA, ANY_CASE},

    {"kWh", U_KWH, ANY_CASE},
    {"kW.h", U_KWH, ANY_CASE},
    {"千瓦时", U_KWH, EXACT},
    {"Wh", U_WH, ANY_CASE},
    {"MWh", U_MWH, KEEP_FIRST},
    {"J", U_J, ANY_CASE},
    {"kJ", U_KJ, ANY_CASE},
    {"MJ", U_MJ, KEEP_FIRST},
    {"GJ", U_GJ, ANY_CASE},
    {"吉焦", U_GJ, EXACT},
    {"kcal", U_KCAL, ANY_CASE},
    {"Mcal", U_MCAL, KEEP_FIRST},
    {"Gcal", U_GCAL, ANY_CASE},

    {"Hz", U_HZ, ANY_CASE},
    {"赫兹", U_HZ, EXACT},
    {"rpm", U_RPM, ANY_CASE},
    {"r/min", U_RPM, ANY_CASE},
    {"转/分", U_RPM, EXACT},

    {"h", U_H, EXACT},
    {"hour", U_H, ANY_CASE},
    {"hours", U_H, ANY_CASE},
    {"小时", U_H, EXACT},
    {"min", U_MIN, ANY_CASE},
    {"分钟", U_MIN, EXACT},
    {"s", U_S, EXACT},
    {"秒", U_S, EXACT},
    {"d", U_D, EXACT},
    {"day", U_D, ANY_CASE},
    {"days", U_D, ANY_CASE},
    {"天", U_D, EXACT},

    {"%", U_PERCENT, EXACT},
    {"percent", U_PERCENT, ANY_CASE},
    {"dBm", U_DBM, ANY_CASE},
    {"dB", U_DB, ANY_CASE},
};

/* ---- lookup ---- */

enum { SLOTS = 1024, SPELLING_SIZE_MAX = 32 };
static uint16_t slots[SLOTS]; /* index into spellings + 1; linear probing by the folded text */
static pthread_once_t slots_once = PTHREAD_ONCE_INIT;

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte | 0x20) : byte;
}

static uint32_t folded_hash(struct bytes text)
{
    uint8_t folded[SPELLING_SIZE_MAX];
    for (size_t i = 0; i < text.size; i++)
        folded[i] = lower(text.data[i]);
    return (uint32_t)XXH3_64bits(folded, text.size);
}

static void slots_build(void)
{
    for (size_t i = 0; i < array_count(spellings); i++) {
        struct bytes text = bytes_text(spellings[i].text);
        gw_assert(text.size <= SPELLING_SIZE_MAX);
        uint32_t slot = folded_hash(text) % SLOTS;
        while (slots[slot])
            slot = (slot + 1) % SLOTS;
        slots[slot] = (uint16_t)(i + 1);
    }
}

static bool spelling_matches(const struct spelling *spelling, struct bytes text)
{
    struct bytes own = bytes_text(spelling->text);
    if (own.size != text.size)
        return false;
    size_t exact = spelling->fold == EXACT ? text.size : spelling->fold == KEEP_FIRST ? 1 : 0;
    for (size_t i = 0; i < text.size; i++) {
        bool same =
            i < exact ? own.data[i] == text.data[i] : lower(own.data[i]) == lower(text.data[i]);
        if (!same)
            return false;
    }
    return true;
}

static struct bytes strip(struct bytes text)
{
    while (text.size && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.size--;
    }
    while (text.size && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
        text.size--;
    return text;
}

/* An exact spelling wins over one that needs folding. */
static const struct unit *unit_find(struct bytes name)
{
    struct bytes text = strip(name);
    if (text.size > SPELLING_SIZE_MAX)
        return NULL;
    pthread_once(&slots_once, slots_build);
    const struct unit *folded = NULL;
    for (uint32_t slot = folded_hash(text) % SLOTS; slots[slot]; slot = (slot + 1) % SLOTS) {
        const struct spelling *spelling = &spellings[slots[slot] - 1];
        if (!spelling_matches(spelling, text))
            continue;
        if (bytes_equal_text(text, spelling->text))
            return &units[spelling->unit];
        if (folded == NULL)
            folded = &units[spelling->unit];
    }
    return folded;
}

struct bytes unit_canonical(struct bytes name)
{
    const struct unit *unit = unit_find(name);
    return unit ? bytes_text(unit->name) : (struct bytes){0};
}

/* ---- conversion ---- */

static int64_t greatest_common_divisor(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* from / to as numerator / denominator * 10^exponent in lowest terms, the twos and fives of the
 * denominator moved into the exponent: what is left of it has no finite decimal. */
struct ratio {
    int64_t numerator;
    int64_t denominator;
    int exponent;
};

static bool ratio_between(const struct unit *from, const struct unit *to, struct ratio *out)
{
    int64_t straight = greatest_common_divisor(from->numerator, to->numerator);
    int64_t across = greatest_common_divisor(to->denominator, from->denominator);
    if (__builtin_mul_overflow(from->numerator / straight, to->denominator / across,
                               &out->numerator) ||
        __builtin_mul_overflow(to->numerator / straight, from->denominator / across,
                               &out->denominator))
        return false;
    int64_t common = greatest_common_divisor(out->numerator, out->denominator);
    out->numerator /= common;
    out->denominator /= common;
    out->exponent = from->exponent - to->exponent;
    for (; out->denominator % 10 == 0; out->exponent--)
        out->denominator /= 10;
    static const int64_t primes[] = {2, 5};
    for (int i = 0; i < 2; i++) {
        for (; out->denominator % primes[i] == 0; out->exponent--) {
            out->denominator /= primes[i];
            if (__builtin_mul_overflow(out->numerator, 10 / primes[i], &out->numerator))
                return false;
        }
    }
    return true;
}

static bool scale_by(struct decimal value, const struct ratio *ratio, struct decimal *out,
                     bool *rounded)
{
    struct decimal factor = {ratio->numerator, (int8_t)ratio->exponent};
    struct decimal product;
    if (ratio->denominator == 1)
        return decimal_multiply(value, factor, out);
    if (!decimal_multiply(value, factor, &product))
        return false;
    int decimals = value.exponent < 0 ? -value.exponent + 3 : 3;
    return decimal_divide(product, (struct decimal){ratio->denominator, 0},
                          decimals > 18 ? 18 : decimals, out, rounded);
}

enum unit_result unit_convert(struct decimal value, struct bytes from, struct bytes to,
                              struct decimal *out, bool *rounded)
{
    *rounded = false;
    const struct unit *source = unit_find(from);
    const struct unit *target = unit_find(to);
    if (source == NULL || target == NULL || source->quantity != target->quantity)
        return UNIT_UNKNOWN;
    if (source == target) {
        *out = value;
        return UNIT_OK;
    }
    struct ratio ratio;
    if (!ratio_between(source, target, &ratio))
        return UNIT_OVERFLOW;
    /* An offset of nothing must not add decimals. */
    if (source->offset.mantissa && !decimal_add(value, source->offset, &value))
        return UNIT_OVERFLOW;
    if (!scale_by(value, &ratio, out, rounded))
        return UNIT_OVERFLOW;
    struct decimal back = {-target->offset.mantissa, target->offset.exponent};
    if (back.mantissa && !decimal_add(*out, back, out))
        return UNIT_OVERFLOW;
    return UNIT_OK;
}
