/* Topic rules: defaults that depend on the log, what a rule cannot promise, and the rules as a whole. */
#include "broker/config/load.h"

#include <stdlib.h>

enum { RULES_MAX = 65536, WHY_MAX = 1024 };

void slu_rule_init(struct slu_config_rule *r, unsigned line)
{
    *r = (struct slu_config_rule){ .core.log = SLU_LOG_MEMORY, .line = line };
}

void slu_rule_fini(struct slu_config_rule *r)
{
    for (size_t i = 0; i < SLU_KEY_COUNT; i++)
        slu_value_fini(&slu_rule_keys[i], slu_option_field(&slu_rule_keys[i], r));
    *r = (struct slu_config_rule){ 0 };
}

bool slu_rule_set(struct slu_loader *ld, struct slu_config_rule *r, const struct slu_option *key, unsigned line,
                  const struct slu_item *items, size_t n)
{
    struct slu_buf why;
    size_t bad;
    slu_buf_init(&why, WHY_MAX);
    bool ok = slu_value_parse(key, slu_option_field(key, r), items, n, &bad, &why);
    if (!ok) /* the field keeps what slu_rule_init or zero gave it: nothing further is concluded from it */
        slu_complain(ld, slu_place_line(bad < n ? items[bad].line : line), "%s %.*s", key->key, (int)why.len,
                     (const char *)why.data);
    r->key_line[key - slu_rule_keys] = line;
    slu_buf_fini(&why);
    return ok;
}

static void set_default(struct slu_loader *ld, struct slu_config_rule *r, const struct slu_option *key)
{
    const char *text = key->def;
    struct slu_buf why;
    if (r->core.log == SLU_LOG_DISK && key->alt)
        text = key->alt;
    else if (r->core.log == SLU_LOG_NONE && key->alt2)
        text = key->alt2;
    if (!text)
        return;
    slu_buf_init(&why, WHY_MAX);
    if (!slu_value_parse_text(key, slu_option_field(key, r), text, &why))
        slu_complain(ld, slu_place_line(r->line), "%s %.*s", key->key, (int)why.len, (const char *)why.data);
    slu_buf_fini(&why);
    if (slu_type_is_list(key->type))
        ((struct slu_strings *)slu_option_field(key, r))->set = false;
}

static bool is_given(const struct slu_config_rule *r, enum slu_rule_key key)
{
    return r->key_line[key] != 0;
}

static struct slu_place place_of(const struct slu_config_rule *r, enum slu_rule_key key)
{
    return slu_place_line(r->key_line[key] ? r->key_line[key] : r->line);
}

/* What the rule says but nothing here could keep. */
static void check_rule(struct slu_loader *ld, const struct slu_config_rule *r)
{
    enum slu_log_kind log = r->core.log;
    if (log == SLU_LOG_DISK && !ld->src->has_disk)
        slu_complain(ld, place_of(r, SLU_KEY_LOG),
                     "log: disk is not possible: this build of sluiced has no disk engine; "
                     "use memory");
    /* a bound that nobody keeps would be worse than none */
    if (!ld->src->has_rule_users && (r->publish.set || r->subscribe.set))
        slu_complain(ld, place_of(r, r->publish.set ? SLU_KEY_PUBLISH : SLU_KEY_SUBSCRIBE),
                     "publish and subscribe are not possible in a rule: this build of sluiced does not enforce them");
    if (log == SLU_LOG_NONE && r->core.overflow == SLU_OVERFLOW_PAUSE)
        slu_complain(ld, place_of(r, SLU_KEY_OVERFLOW),
                     "overflow: pause needs a log to go on from; use close, conflate "
                     "or drop-oldest, or give the topics a log");
    if (r->core.ack == SLU_ACK_STORED && log != SLU_LOG_DISK && !ld->src->has_redis)
        slu_complain(ld, place_of(r, SLU_KEY_ACK), "ack: stored needs log: disk");
    if (r->core.ack == SLU_ACK_REPLICATED && !ld->src->has_redis)
        slu_complain(ld, place_of(r, SLU_KEY_ACK), "ack: replicated needs Redis, which this build of sluiced has not");
}

static bool push(struct slu_loader *ld, struct slu_config_rule *r)
{
    struct slu_config *c = ld->cfg;
    if ((c->n_rules & (c->n_rules + 1)) == 0 || !c->rules) {
        size_t room = (c->n_rules + 1) * 2;
        struct slu_config_rule *rules = realloc(c->rules, room * sizeof(*rules));
        if (!rules)
            return false;
        c->rules = rules;
    }
    r->core.filter = slu_str(r->filter);
    c->rules[c->n_rules++] = *r;
    *r = (struct slu_config_rule){ 0 };
    return true;
}

void slu_rule_add(struct slu_loader *ld, struct slu_config_rule *r)
{
    struct slu_place at = slu_place_line(r->line);
    for (size_t i = 0; i < SLU_KEY_COUNT; i++)
        if (!is_given(r, (enum slu_rule_key)i))
            set_default(ld, r, &slu_rule_keys[i]);
    if (!is_given(r, SLU_KEY_FILTER) && r->line)
        slu_complain(ld, at, "this topic rule has no filter; add for example filter: \"prices/#\"");
    check_rule(ld, r);
    if (r->filter && ld->cfg->n_rules >= RULES_MAX)
        slu_complain(ld, at, "there are more than %d topic rules", RULES_MAX);
    else if (r->filter && !push(ld, r))
        slu_complain(ld, at, "out of memory");
    slu_rule_fini(r);
}

/* By filter, then by line. */
static int compare(const void *a, const void *b)
{
    const struct slu_config_rule *ra = *(const struct slu_config_rule *const *)a;
    const struct slu_config_rule *rb = *(const struct slu_config_rule *const *)b;
    int d = strcmp(ra->filter, rb->filter);
    return d ? d : (ra->line > rb->line) - (ra->line < rb->line);
}

static void check_duplicates(struct slu_loader *ld)
{
    size_t n = ld->cfg->n_rules;
    const struct slu_config_rule **sorted = calloc(n + 1, sizeof(*sorted));
    if (!sorted) {
        slu_complain(ld, slu_place_line(0), "out of memory");
        return;
    }
    for (size_t i = 0; i < n; i++)
        sorted[i] = &ld->cfg->rules[i];
    qsort(sorted, n, sizeof(*sorted), compare);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(sorted[i - 1]->filter, sorted[i]->filter) != 0)
            continue;
        struct slu_buf shown;
        slu_buf_init(&shown, WHY_MAX);
        slu_quote_short(slu_str(sorted[i]->filter), &shown);
        slu_complain(ld, place_of(sorted[i], SLU_KEY_FILTER), "the filter %.*s has a rule in line %u already",
                     (int)shown.len, (const char *)shown.data, sorted[i - 1]->key_line[SLU_KEY_FILTER]);
        slu_buf_fini(&shown);
    }
    free(sorted);
}

static void add_built_in(struct slu_loader *ld)
{
    struct slu_config_rule r;
    slu_rule_init(&r, 0);
    for (size_t i = 0; i < ld->cfg->n_rules; i++)
        if (strcmp(ld->cfg->rules[i].filter, "#") == 0)
            return;
    r.filter = strdup("#");
    if (r.filter)
        slu_rule_add(ld, &r);
    else
        slu_complain(ld, slu_place_line(0), "out of memory");
}

void slu_rules_finish(struct slu_loader *ld)
{
    const struct slu_config *c = ld->cfg;
    for (size_t i = 0; i < c->n_rules; i++) {
        const struct slu_config_rule *r = &c->rules[i];
        if (r->core.max_size > c->limits.payload)
            slu_complain(ld, place_of(r, SLU_KEY_MAX_SIZE),
                         "max-size is more than limits.payload, which holds for all");
    }
    check_duplicates(ld);
    add_built_in(ld);
}
