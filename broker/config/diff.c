/* What a reload would change. Values are compared as they print, so that every type is covered by one comparison. */
#include "broker/config/value.h"

static bool same(const struct slu_option *o, const void *a, const void *b)
{
    struct slu_buf ta, tb;
    slu_buf_init(&ta, 0);
    slu_buf_init(&tb, 0);
    slu_value_print(o, a, &ta);
    slu_value_print(o, b, &tb);
    bool is_same = !ta.failed && !tb.failed && slu_bytes_eq(slu_buf_bytes(&ta), slu_buf_bytes(&tb));
    if (slu_type_is_list(o->type) && !o->def) /* where none differs from an empty list */
        is_same = is_same && ((const struct slu_strings *)a)->set == ((const struct slu_strings *)b)->set;
    slu_buf_fini(&ta);
    slu_buf_fini(&tb);
    return is_same;
}

static bool same_rules(const struct slu_config *a, const struct slu_config *b)
{
    if (a->n_rules != b->n_rules)
        return false;
    for (size_t i = 0; i < a->n_rules; i++)
        for (size_t k = 0; k < SLU_KEY_COUNT; k++)
            if (!same(&slu_rule_keys[k], slu_option_cfield(&slu_rule_keys[k], &a->rules[i]),
                      slu_option_cfield(&slu_rule_keys[k], &b->rules[i])))
                return false;
    return true;
}

/* Values that are no secret are shown. */
static void describe(const struct slu_option *o, const struct slu_config *from, const struct slu_config *to,
                     struct slu_buf *text)
{
    slu_buf_add_str(text, o->key);
    if (!(o->flags & SLU_SECRET) && o->type != SLU_TYPE_RULES) {
        slu_buf_add_str(text, ": from ");
        slu_value_print(o, slu_option_cfield(o, from), text);
        slu_buf_add_str(text, " to ");
        slu_value_print(o, slu_option_cfield(o, to), text);
    }
    slu_buf_add_str(text, o->flags & SLU_RELOAD ? "\n" : ": needs a restart\n");
}

struct slu_config_diff slu_config_diff(const struct slu_config *from, const struct slu_config *to, bool all,
                                       struct slu_buf *text)
{
    struct slu_config_diff d = { 0 };
    for (size_t i = 0; i < SLU_OPT_COUNT; i++) {
        const struct slu_option *o = &slu_options[i];
        bool is_fixed = !(o->flags & SLU_RELOAD);
        bool is_same = o->type == SLU_TYPE_RULES ? same_rules(from, to)
                                                 : same(o, slu_option_cfield(o, from), slu_option_cfield(o, to));
        if (is_same)
            continue;
        d.changed++;
        d.fixed += is_fixed;
        if (all || is_fixed)
            describe(o, from, to, text);
    }
    return d;
}
