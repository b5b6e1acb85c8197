/* Own parser instead of getopt_long: that takes abbreviations, which a later flag would break, and keeps its state in
 * globals. Flags are --name VALUE or --name=VALUE. */
#include "broker/config/cmdline.h"

#include "broker/config/suggest.h"
#include "broker/config/value.h"

#include <stdlib.h>

const struct slu_flag slu_flags[SLU_FLAG_COUNT] = {
#define SLU_FLAG(id, name, argument, option, help) [SLU_FLAG_##id] = { name, argument, option, help },
#include "broker/config/flags.def"
};

static bool complain_unknown(const char *arg, struct slu_buf *error)
{
    struct slu_nearest near;
    const char *name = arg + strspn(arg, "-");
    slu_nearest_init(&near, slu_bytes(name, strcspn(name, "=")));
    for (size_t i = 0; i < SLU_FLAG_COUNT; i++)
        slu_nearest_offer(&near, slu_str(slu_flags[i].name), slu_str(slu_flags[i].name), 0);
    slu_buf_add_str(error, arg[0] == '-' ? "unknown flag " : "unexpected argument ");
    slu_quote_short(slu_bytes(arg, strcspn(arg, "=")), error);
    bool is_near = near.distance <= 2 || near.distance <= near.best.len / 3;
    slu_buf_addf(error, is_near ? ", did you mean --%.*s?" : "; the nearest flag is --%.*s (see --help)",
                 (int)near.best.len, (const char *)near.best.data);
    slu_buf_add_byte(error, '\n');
    return false;
}

static enum slu_flag_id find_flag(const char *arg, const char **value)
{
    size_t n = strcspn(arg, "=");
    *value = arg[n] == '=' ? arg + n + 1 : NULL;
    for (size_t i = 0; n > 2 && strncmp(arg, "--", 2) == 0 && i < SLU_FLAG_COUNT; i++)
        if (slu_bytes_eq(slu_str(slu_flags[i].name), slu_bytes(arg + 2, n - 2)))
            return (enum slu_flag_id)i;
    return SLU_FLAG_COUNT;
}

static void add(struct slu_cmdline *c, const char *flag, const char *key, const char *value)
{
    c->sets[c->n_sets++] = (struct slu_config_set){ flag, key, value };
}

static bool add_set(struct slu_cmdline *c, const char *text, struct slu_buf *error)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text) {
        slu_buf_add_str(error, "--set takes KEY=VALUE, not ");
        slu_quote_short(slu_str(text), error);
        slu_buf_add_byte(error, '\n');
        return false;
    }
    char *key = strndup(text, (size_t)(equals - text));
    if (!key) {
        slu_buf_add_str(error, "out of memory\n");
        return false;
    }
    c->keys[c->n_keys++] = key;
    add(c, "--set", key, equals + 1);
    return true;
}

static bool apply(struct slu_cmdline *c, enum slu_flag_id id, const char *value, struct slu_buf *error)
{
    static const char *const names[SLU_FLAG_COUNT] = {
#define SLU_FLAG(id, name, argument, option, help) [SLU_FLAG_##id] = "--" name,
#include "broker/config/flags.def"
    };
    switch (id) {
    case SLU_FLAG_CONFIG:
        c->config = value;
        break;
    case SLU_FLAG_DEV:
        c->dev = true;
        break;
    case SLU_FLAG_SET:
        return add_set(c, value, error);
    case SLU_FLAG_CHECK_CONFIG:
        c->action = SLU_ACTION_CHECK_CONFIG;
        break;
    case SLU_FLAG_PRINT_CONFIG:
        c->action = SLU_ACTION_PRINT_CONFIG;
        break;
    case SLU_FLAG_PRINT_SAMPLE:
        c->action = SLU_ACTION_PRINT_SAMPLE;
        break;
    case SLU_FLAG_VERSION:
        c->action = SLU_ACTION_VERSION;
        break;
    case SLU_FLAG_HELP:
        c->action = SLU_ACTION_HELP;
        break;
    default:
        add(c, names[id], slu_flags[id].option, value);
        break;
    }
    return true;
}

bool slu_cmdline_parse(int argc, char *const *argv, struct slu_cmdline *out, struct slu_buf *error)
{
    size_t room = argc > 0 ? (size_t)argc : 1;
    *out = (struct slu_cmdline){ 0 };
    out->sets = calloc(room, sizeof(*out->sets));
    out->keys = calloc(room, sizeof(*out->keys));
    if (!out->sets || !out->keys) {
        slu_buf_add_str(error, "out of memory\n");
        return false;
    }
    for (int i = 1; i < argc; i++) {
        const char *value;
        enum slu_flag_id id = find_flag(argv[i], &value);
        if (id == SLU_FLAG_COUNT)
            return complain_unknown(argv[i], error);
        const struct slu_flag *f = &slu_flags[id];
        if (value && !f->argument) {
            slu_buf_addf(error, "--%s takes no value\n", f->name);
            return false;
        }
        if (!value && f->argument) {
            if (i + 1 >= argc) {
                slu_buf_addf(error, "--%s needs a value: --%s %s\n", f->name, f->name, f->argument);
                return false;
            }
            value = argv[++i];
        }
        if (!apply(out, id, value, error))
            return false;
    }
    return true;
}

void slu_cmdline_fini(struct slu_cmdline *c)
{
    for (size_t i = 0; i < c->n_keys; i++)
        free(c->keys[i]);
    free(c->keys);
    free(c->sets);
    *c = (struct slu_cmdline){ 0 };
}
