/* Loading: defaults, then file, environment and command line, each over the one before; then what only the whole can
 * show. Nothing here is kept between calls. */
#include "broker/config/load.h"

#include "broker/config/network.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 20, MISTAKES_MAX = 20, SENTENCE_MAX = 2048 };
static const uint64_t memory_unknown = UINT64_C(2) << 30, memory_least = UINT64_C(64) << 20;

void slu_complain(struct slu_loader *ld, struct slu_place at, const char *fmt, ...)
{
    char text[SENTENCE_MAX];
    va_list ap;
    if (ld->n_mistakes++ >= MISTAKES_MAX)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (at.kind == SLU_FROM_FILE && *ld->cfg->file)
        slu_buf_add_str(ld->error, ld->cfg->file);
    else if (at.name)
        slu_buf_addf(ld->error, "%s%s", at.kind == SLU_FROM_ENVIRONMENT ? "environment: " : "", at.name);
    else
        slu_buf_add_str(ld->error, "configuration");
    if (at.kind == SLU_FROM_FILE && at.line > 0)
        slu_buf_addf(ld->error, ":%u", at.line);
    slu_buf_addf(ld->error, ": %s\n", text);
}

bool slu_loader_is_full(const struct slu_loader *ld)
{
    return ld->n_mistakes > MISTAKES_MAX;
}

struct slu_place slu_loader_place(const struct slu_loader *ld, enum slu_opt id)
{
    struct slu_place at = { .kind = ld->cfg->origin[id].kind, .line = ld->cfg->origin[id].line };
    if (at.kind == SLU_FROM_ENVIRONMENT)
        at.name = slu_options[id].key;
    for (size_t i = 0; i < ld->src->n_sets && at.kind == SLU_FROM_FLAG; i++)
        if (strcmp(ld->src->sets[i].key, slu_options[id].key) == 0)
            at.name = ld->src->sets[i].flag;
    return at;
}

static enum slu_opt id_of(const struct slu_option *o)
{
    return (enum slu_opt)(o - slu_options);
}

bool slu_loader_set(struct slu_loader *ld, const struct slu_option *o, struct slu_place at,
                    const struct slu_item *items, size_t n)
{
    struct slu_buf why;
    size_t bad;
    slu_buf_init(&why, SENTENCE_MAX);
    bool ok = slu_value_parse(o, slu_option_field(o, ld->cfg), items, n, &bad, &why);
    if (!ok) {
        if (bad < n && items[bad].line)
            at.line = items[bad].line;
        slu_complain(ld, at, "%s %.*s", o->key, (int)why.len, (const char *)why.data);
    }
    /* a value at fault counts as given, so that its key is not complained about twice */
    ld->cfg->origin[id_of(o)] = (struct slu_origin){ at.kind, at.line };
    slu_buf_fini(&why);
    return ok;
}

static void set_text(struct slu_loader *ld, const struct slu_option *o, struct slu_place at, const char *text)
{
    struct slu_buf why;
    if (o->type == SLU_TYPE_RULES) {
        slu_complain(ld, at, "%s can only be given in the configuration file", o->key);
        return;
    }
    slu_buf_init(&why, SENTENCE_MAX);
    if (!slu_value_parse_text(o, slu_option_field(o, ld->cfg), text, &why))
        slu_complain(ld, at, "%s %.*s", o->key, (int)why.len, (const char *)why.data);
    ld->cfg->origin[id_of(o)] = (struct slu_origin){ .kind = at.kind };
    slu_buf_fini(&why);
}

static void load_defaults(struct slu_loader *ld)
{
    for (size_t i = 0; i < SLU_OPT_COUNT; i++) {
        const struct slu_option *o = &slu_options[i];
        const char *text = ld->src->dev && o->alt ? o->alt : o->def;
        if (text)
            set_text(ld, o, (struct slu_place){ .kind = SLU_FROM_DEFAULT }, text);
    }
}

/* The whole file, or up to one byte more than it may have. */
static bool read_file(struct slu_loader *ld, const char *path, struct slu_buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0 && out->len <= FILE_MAX) {
        uint8_t *room = slu_buf_reserve(out, 16384);
        n = room ? read(fd, room, 16384) : -1;
        if (!room)
            errno = ENOMEM;
        if (n > 0)
            out->len += (size_t)n;
        else if (n < 0 && errno == EINTR)
            n = 1;
    }
    if (n < 0)
        slu_complain(ld, slu_place_line(0), "cannot be read: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    return n >= 0;
}

static void load_file(struct slu_loader *ld)
{
    struct slu_buf content;
    slu_buf_init(&content, 0);
    bool ok = ld->src->text || (ld->src->file && read_file(ld, ld->src->file, &content));
    struct slu_bytes text = ld->src->text ? slu_bytes(ld->src->text, ld->src->text_len) : slu_buf_bytes(&content);
    if (ok && text.len > FILE_MAX)
        slu_complain(ld, slu_place_line(0), "is larger than 1 MiB");
    else if (ok)
        slu_yaml_load(ld, text);
    slu_buf_fini(&content);
}

static const struct slu_option *find_env(struct slu_bytes name)
{
    const struct slu_option *found = NULL;
    for (size_t i = 0; i < SLU_OPT_COUNT && !found; i++) {
        struct slu_buf env;
        slu_buf_init(&env, 128);
        slu_option_env_name(&slu_options[i], &env);
        if (slu_bytes_eq(slu_buf_bytes(&env), name))
            found = &slu_options[i];
        slu_buf_fini(&env);
    }
    return found;
}

/* A variable that nothing knows may be another program's, so it stops nothing; but it is said. */
static void warn_env(struct slu_loader *ld, struct slu_bytes name)
{
    struct slu_strings *w = &ld->cfg->warnings;
    struct slu_buf text;
    if (w->n >= MISTAKES_MAX)
        return;
    slu_buf_init(&text, SENTENCE_MAX);
    slu_buf_add_str(&text, "environment: unknown variable ");
    slu_quote_short(name, &text);
    slu_option_env_suggest(name, &text);
    char **items = realloc(w->items, (w->n + 1) * sizeof(*items));
    if (items) {
        w->items = items;
        items[w->n] = strndup((const char *)text.data, text.len);
        w->n += items[w->n] != NULL;
    }
    slu_buf_fini(&text);
}

static void load_environment(struct slu_loader *ld)
{
    for (char *const *e = ld->src->environ; e && *e; e++) {
        const char *equals = strchr(*e, '=');
        if (strncmp(*e, "SLUICE_", 7) != 0 || !equals || equals[1] == '\0')
            continue;
        struct slu_bytes name = slu_bytes(*e, (size_t)(equals - *e));
        const struct slu_option *o = find_env(name);
        char *copy = o ? strndup(*e, name.len) : NULL;
        if (o)
            set_text(ld, o, (struct slu_place){ .kind = SLU_FROM_ENVIRONMENT, .name = copy ? copy : o->key },
                     equals + 1);
        else
            warn_env(ld, name);
        free(copy);
    }
}

static void load_sets(struct slu_loader *ld)
{
    for (size_t i = 0; i < ld->src->n_sets; i++) {
        const struct slu_config_set *s = &ld->src->sets[i];
        struct slu_place at = { .kind = SLU_FROM_FLAG, .name = s->flag };
        const struct slu_option *o = slu_option_find(slu_str(s->key));
        if (o) {
            set_text(ld, o, at, s->value);
            continue;
        }
        struct slu_buf text;
        slu_buf_init(&text, SENTENCE_MAX);
        slu_buf_add_str(&text, "unknown key ");
        slu_quote_short(slu_str(s->key), &text);
        slu_option_suggest(slu_str(s->key), &text);
        slu_complain(ld, at, "%.*s", (int)text.len, (const char *)text.data);
        slu_buf_fini(&text);
    }
}

/* Clients that are told "localhost" may try ::1 first: it is served beside 127.0.0.1 under --dev. */
static void add_companion(struct slu_loader *ld, struct slu_addrs *a)
{
    static const uint8_t loopback[4] = { 127, 0, 0, 1 };
    bool is_wanted = a->n == 1 && a->items[0].family == AF_INET && memcmp(a->items[0].ip, loopback, 4) == 0;
    struct slu_addr *items = is_wanted ? realloc(a->items, 2 * sizeof(*items)) : NULL;
    if (is_wanted && !items)
        slu_complain(ld, (struct slu_place){ .kind = SLU_FROM_DEFAULT }, "out of memory");
    if (!items)
        return;
    a->items = items;
    slu_addr_companion(&items[0], &items[1]);
    a->n = 2;
}

static void check_listen(struct slu_loader *ld, enum slu_opt id, struct slu_addrs *list)
{
    for (size_t i = 0; i < list->n; i++) {
        struct slu_buf text;
        slu_buf_init(&text, 256);
        slu_addr_print(&list->items[i], &text);
        slu_buf_add_byte(&text, 0);
        const char *shown = text.failed ? "an address" : (const char *)text.data;
        if (ld->src->dev && !slu_addr_is_loopback(&list->items[i]))
            slu_complain(ld, slu_loader_place(ld, id), "%s: %s is open to the network; --dev serves loopback only",
                         slu_options[id].key, shown);
        for (size_t j = 0; j < i; j++)
            if (slu_addr_same(&list->items[i], &list->items[j]))
                slu_complain(ld, slu_loader_place(ld, id), "%s: %s stands twice", slu_options[id].key, shown);
        const struct slu_addrs *other = &ld->cfg->listen.public;
        for (size_t j = 0; id == SLU_OPT_LISTEN_ADMIN && j < other->n; j++)
            if (slu_addr_same(&list->items[i], &other->items[j]))
                slu_complain(ld, slu_loader_place(ld, id), "%s: %s is a public address (listen.public) already",
                             slu_options[id].key, shown);
        slu_buf_fini(&text);
    }
    if (ld->src->dev)
        add_companion(ld, list);
}

static void check_tls(struct slu_loader *ld)
{
    struct slu_config *c = ld->cfg;
    bool has_certificate = *c->tls.certificate, has_key = *c->tls.key;
    if (has_certificate != has_key)
        slu_complain(ld, slu_loader_place(ld, has_key ? SLU_OPT_TLS_KEY : SLU_OPT_TLS_CERTIFICATE),
                     "tls.certificate and tls.key need each other; %s is missing",
                     has_key ? "tls.certificate" : "tls.key");
    else if (!has_key) {
        static const enum slu_opt wanted[] = { SLU_OPT_TLS_PUBLIC, SLU_OPT_TLS_ADMIN };
        for (size_t i = 0; i < 2; i++)
            if (c->origin[wanted[i]].kind != SLU_FROM_DEFAULT &&
                *(const bool *)slu_option_cfield(&slu_options[wanted[i]], c))
                slu_complain(ld, slu_loader_place(ld, wanted[i]), "%s needs tls.certificate and tls.key",
                             slu_options[wanted[i]].key);
        c->tls.public = c->tls.admin = false;
    }
}

/* What only shows when every option has its value. */
static void check_whole(struct slu_loader *ld)
{
    struct slu_config *c = ld->cfg;
    check_listen(ld, SLU_OPT_LISTEN_PUBLIC, &c->listen.public);
    check_listen(ld, SLU_OPT_LISTEN_ADMIN, &c->listen.admin);
    check_tls(ld);
    if (*c->redis_url && !ld->src->has_redis)
        slu_complain(ld, slu_loader_place(ld, SLU_OPT_REDIS_URL),
                     "redis.url: this build of sluiced has no Redis engine; leave it out");
    if (c->limits.frame < c->limits.payload)
        slu_complain(
            ld,
            slu_loader_place(ld, c->origin[SLU_OPT_FRAME].kind != SLU_FROM_DEFAULT ? SLU_OPT_FRAME : SLU_OPT_PAYLOAD),
            "limits.frame is smaller than limits.payload, so that no such payload could come in");
    if (c->listen.proxy_protocol && c->trusted_proxies.n == 0)
        slu_complain(ld, slu_loader_place(ld, SLU_OPT_PROXY_PROTOCOL),
                     "proxy-protocol needs trusted-proxies: nobody's header would count");
    if (c->limits.memory == 0) {
        uint64_t half = (ld->src->machine_memory ? ld->src->machine_memory : memory_unknown) / 2;
        c->limits.memory = half > memory_least ? half : memory_least;
    }
}

static char *copy_text(const char *s)
{
    return strdup(s ? s : "");
}

bool slu_config_load(const struct slu_config_sources *src, struct slu_config **out, struct slu_buf *error)
{
    struct slu_config *c = calloc(1, sizeof(*c));
    struct slu_loader ld = { .src = src, .cfg = c, .error = error };
    if (!c || !(c->file = copy_text(src->file))) {
        slu_buf_add_str(error, "configuration: out of memory\n");
        free(c);
        return false;
    }
    c->dev = src->dev;
    load_defaults(&ld);
    if (ld.n_mistakes == 0) {
        load_file(&ld);
        load_environment(&ld);
        load_sets(&ld);
    }
    /* these look at values, so they wait until all are good */
    if (ld.n_mistakes == 0) {
        check_whole(&ld);
        slu_rules_finish(&ld);
    }
    if (slu_loader_is_full(&ld))
        slu_buf_addf(error, "%s: and further mistakes\n", *c->file ? c->file : "configuration");
    if (ld.n_mistakes > 0) {
        slu_config_free(c);
        return false;
    }
    *out = c;
    return true;
}

void slu_config_free(struct slu_config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < SLU_OPT_COUNT; i++)
        if (slu_options[i].type != SLU_TYPE_RULES)
            slu_value_fini(&slu_options[i], slu_option_field(&slu_options[i], c));
    for (size_t i = 0; i < c->n_rules; i++)
        slu_rule_fini(&c->rules[i]);
    for (size_t i = 0; i < c->warnings.n; i++)
        free(c->warnings.items[i]);
    free(c->warnings.items);
    free(c->rules);
    free(c->file);
    free(c);
}
