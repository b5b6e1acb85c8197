/* The tables themselves, expanded from options.def and rules.def, and how rows are found by name. */
#include "broker/config/option.h"

#include "broker/config/suggest.h"

#include <ctype.h>

#define SIZE_STRING   sizeof(char *)
#define SIZE_FILTER   sizeof(char *)
#define SIZE_BOOL     sizeof(bool)
#define SIZE_INT      sizeof(uint64_t)
#define SIZE_BYTES    sizeof(uint64_t)
#define SIZE_DURATION sizeof(uint64_t)
#define SIZE_RATE     sizeof(uint64_t)
#define SIZE_ENUM     sizeof(int)
#define SIZE_STRINGS  sizeof(struct slu_strings)
#define SIZE_FILTERS  sizeof(struct slu_strings)
#define SIZE_ORIGINS  sizeof(struct slu_strings)
#define SIZE_HOSTS    sizeof(struct slu_strings)
#define SIZE_FIELDS   sizeof(struct slu_strings)
#define SIZE_ADDRS    sizeof(struct slu_addrs)
#define SIZE_CIDRS    sizeof(struct slu_cidrs)
#define SIZE_RULES    sizeof(struct slu_config_rule *)

#define SLU_OPTION(id, key, type, field, ...) \
    _Static_assert(sizeof(((struct slu_config *)0)->field) == SIZE_##type, "field of " key " has another type");
#include "broker/config/options.def"
#define SLU_RULE_KEY(id, key, type, field, ...) \
    _Static_assert(sizeof(((struct slu_config_rule *)0)->field) == SIZE_##type, "field of " key " has another type");
#include "broker/config/rules.def"

/* The words of ENUM rows stand in the order of these. */
_Static_assert(SLU_LOG_ERROR == 0 && SLU_LOG_WARN == 1 && SLU_LOG_INFO == 2 && SLU_LOG_DEBUG == 3, "log.level");
_Static_assert(SLU_LOG_NONE == 0 && SLU_LOG_MEMORY == 1 && SLU_LOG_DISK == 2, "log");
_Static_assert(SLU_OVERFLOW_DEFAULT == 0 && SLU_OVERFLOW_PAUSE == 1 && SLU_OVERFLOW_CONFLATE == 2 &&
                   SLU_OVERFLOW_DROP_OLDEST == 3 && SLU_OVERFLOW_CLOSE == 4,
               "overflow");
_Static_assert(SLU_ACK_DEFAULT == 0 && SLU_ACK_NONE == 1 && SLU_ACK_ACCEPTED == 2 && SLU_ACK_STORED == 3 &&
                   SLU_ACK_REPLICATED == 4,
               "ack");
_Static_assert(SLU_PAYLOAD_AUTO == 0 && SLU_PAYLOAD_JSON == 1 && SLU_PAYLOAD_TEXT == 2 && SLU_PAYLOAD_BINARY == 3,
               "payload");

const struct slu_option slu_options[SLU_OPT_COUNT] = {
#define SLU_OPTION(id, key, type, field, def, dev, min, max, choices, flags, help)                               \
    [SLU_OPT_##id] = {                                                                                           \
        key, SLU_TYPE_##type, offsetof(struct slu_config, field), def, dev, NULL, min, max, choices, flags, help \
    },
#include "broker/config/options.def"
};

const struct slu_option slu_rule_keys[SLU_KEY_COUNT] = {
#define SLU_RULE_KEY(id, key, type, field, def, disk, none, min, max, choices, help)                                  \
    [SLU_KEY_##                                                                                                       \
        id] = { key, SLU_TYPE_##type, offsetof(struct slu_config_rule, field), def, disk, none, min, max, choices, 0, \
                help },
#include "broker/config/rules.def"
};

bool slu_type_is_list(enum slu_type t)
{
    return t >= SLU_TYPE_STRINGS && t <= SLU_TYPE_CIDRS;
}

static const struct slu_option *find(const struct slu_option *rows, size_t n, struct slu_bytes key)
{
    for (size_t i = 0; i < n; i++)
        if (slu_bytes_eq(slu_str(rows[i].key), key))
            return &rows[i];
    return NULL;
}

const struct slu_option *slu_option_find(struct slu_bytes key)
{
    return find(slu_options, SLU_OPT_COUNT, key);
}

const struct slu_option *slu_rule_key_find(struct slu_bytes key)
{
    return find(slu_rule_keys, SLU_KEY_COUNT, key);
}

size_t slu_option_section_len(const struct slu_option *o)
{
    const char *dot = strchr(o->key, '.');
    return dot ? (size_t)(dot - o->key) : 0;
}

const struct slu_option *slu_section_find(struct slu_bytes section)
{
    for (size_t i = 0; i < SLU_OPT_COUNT; i++) {
        size_t len = slu_option_section_len(&slu_options[i]);
        if (len > 0 && slu_bytes_eq(slu_bytes(slu_options[i].key, len), section))
            return &slu_options[i];
    }
    return NULL;
}

void slu_option_env_name(const struct slu_option *o, struct slu_buf *out)
{
    slu_buf_add_str(out, "SLUICE_");
    for (const char *p = o->key; *p; p++)
        slu_buf_add_byte(out, *p == '.' || *p == '-' ? '_' : (uint8_t)toupper((unsigned char)*p));
}

static struct slu_bytes leaf_of(struct slu_bytes key)
{
    const uint8_t *dot = key.len ? memrchr(key.data, '.', key.len) : NULL;
    return dot ? slu_bytes(dot + 1, key.len - (size_t)(dot + 1 - key.data)) : key;
}

/* Whole keys first; a key that stands in the wrong section, or in none, is found by its last word. */
void slu_option_suggest(struct slu_bytes key, struct slu_buf *out)
{
    struct slu_nearest near;
    slu_nearest_init(&near, key);
    for (size_t i = 0; i < SLU_OPT_COUNT; i++) {
        struct slu_bytes row = slu_str(slu_options[i].key);
        size_t len = slu_option_section_len(&slu_options[i]);
        slu_nearest_offer(&near, row, row, 0);
        if (len > 0) {
            slu_nearest_offer(&near, slu_bytes(row.data, len), slu_bytes(row.data, len), 0);
            slu_nearest_use(&near, leaf_of(key));
            slu_nearest_offer(&near, leaf_of(row), row, 1);
            slu_nearest_use(&near, key);
        }
    }
    slu_nearest_print(&near, "key", out);
}

void slu_rule_key_suggest(struct slu_bytes key, struct slu_buf *out)
{
    struct slu_nearest near;
    slu_nearest_init(&near, key);
    for (size_t i = 0; i < SLU_KEY_COUNT; i++)
        slu_nearest_offer(&near, slu_str(slu_rule_keys[i].key), slu_str(slu_rule_keys[i].key), 0);
    slu_nearest_print(&near, "key", out);
}

void slu_option_env_suggest(struct slu_bytes name, struct slu_buf *out)
{
    struct slu_nearest near;
    char best[128];
    slu_nearest_init(&near, name);
    for (size_t i = 0; i < SLU_OPT_COUNT; i++) {
        struct slu_buf env;
        slu_buf_init(&env, sizeof(best));
        slu_option_env_name(&slu_options[i], &env);
        /* the name lives only in this turn: keep a copy of the winner */
        if (!env.failed && slu_nearest_offer(&near, slu_buf_bytes(&env), slu_bytes(best, env.len), 0))
            memcpy(best, env.data, env.len);
        slu_buf_fini(&env);
    }
    slu_nearest_print(&near, "name", out);
}
