/* The configuration file. libyaml's events are walked along the option table, so every mistake has its line, and depth
 * is bounded by the table: whatever does not fit is skipped without recursion. Of YAML only mappings, sequences and
 * scalars are taken; anchors, aliases, tags and several documents are refused. */
#include "broker/config/load.h"

#include "broker/base/utf8.h"

#include <stdlib.h>
#include <strings.h>
#include <yaml.h>

enum { KEY_MAX = 256, ITEMS_MAX = 4097, DEPTH_MAX = 32 };

struct walk {
    struct slu_loader *ld;
    yaml_parser_t parser;
    yaml_event_t ev; /* the current event, from next() */
    bool has_event;
    bool failed; /* reading cannot go on; a complaint was made */
};

static unsigned line_of(yaml_mark_t mark)
{
    return (unsigned)mark.line + 1;
}

static unsigned here(const struct walk *w)
{
    return line_of(w->ev.start_mark);
}

static bool stop(struct walk *w, unsigned line, const char *what)
{
    slu_complain(w->ld, slu_place_line(line), "%s", what);
    w->failed = true;
    return false;
}

static bool stop_at_problem(struct walk *w)
{
    const yaml_parser_t *p = &w->parser;
    unsigned line = line_of(p->problem_mark);
    if (p->error == YAML_MEMORY_ERROR)
        return stop(w, 0, "out of memory");
    if (p->context && p->context_mark.line != p->problem_mark.line)
        slu_complain(w->ld, slu_place_line(line), "not valid YAML: %s (%s from line %u)", p->problem, p->context,
                     line_of(p->context_mark));
    else
        slu_complain(w->ld, slu_place_line(line), "not valid YAML: %s", p->problem ? p->problem : "cannot be read");
    w->failed = true;
    return false;
}

/* Moves on to the next event; false when reading cannot go on. */
static bool next(struct walk *w)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    w->failed = w->failed || slu_loader_is_full(w->ld);
    if (w->failed)
        return false;
    if (w->has_event)
        yaml_event_delete(&w->ev);
    w->has_event = yaml_parser_parse(&w->parser, &w->ev);
    if (!w->has_event)
        return stop_at_problem(w);
    switch (w->ev.type) {
    case YAML_ALIAS_EVENT:
        return stop(w, here(w), "an alias (*) is not taken; write the value out");
    case YAML_SCALAR_EVENT:
        anchor = w->ev.data.scalar.anchor;
        tag = w->ev.data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = w->ev.data.sequence_start.anchor;
        tag = w->ev.data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = w->ev.data.mapping_start.anchor;
        tag = w->ev.data.mapping_start.tag;
        break;
    default:
        break;
    }
    if (anchor)
        return stop(w, here(w), "an anchor (&) is not taken");
    if (tag)
        return stop(w, here(w), "a tag (!) is not taken");
    return true;
}

/* From the first event of a node to its last. */
static bool skip_node(struct walk *w)
{
    size_t depth = 0;
    do {
        if (w->ev.type == YAML_SEQUENCE_START_EVENT || w->ev.type == YAML_MAPPING_START_EVENT)
            depth++;
        else if (w->ev.type == YAML_SEQUENCE_END_EVENT || w->ev.type == YAML_MAPPING_END_EVENT)
            depth--;
        if (depth > DEPTH_MAX)
            return stop(w, here(w), "nested too deep");
    } while (depth > 0 && next(w));
    return !w->failed;
}

static struct slu_bytes scalar(const struct walk *w)
{
    return slu_bytes(w->ev.data.scalar.value, w->ev.data.scalar.length);
}

static bool is_null(const struct walk *w)
{
    struct slu_bytes s = scalar(w);
    if (w->ev.type != YAML_SCALAR_EVENT || w->ev.data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    return s.len == 0 || slu_bytes_eq(s, SLU_LIT("~")) ||
           (s.len == 4 && strncasecmp((const char *)s.data, "null", 4) == 0);
}

/* The members of a list, or the one scalar, of an option; texts are copied, since the events go. */
struct items {
    struct slu_item *items;
    size_t n;
};

static void items_fini(struct items *it)
{
    for (size_t i = 0; i < it->n; i++)
        free((void *)(uintptr_t)it->items[i].text.data);
    free(it->items);
}

static bool items_add(struct walk *w, struct items *it)
{
    struct slu_bytes s = scalar(w);
    if ((it->n & (it->n + 1)) == 0) {
        struct slu_item *items = realloc(it->items, (it->n + 1) * 2 * sizeof(*items));
        if (!items)
            return stop(w, here(w), "out of memory");
        it->items = items;
    }
    uint8_t *copy = malloc(s.len + 1);
    if (!copy)
        return stop(w, here(w), "out of memory");
    memcpy(copy, s.data, s.len);
    it->items[it->n++] = (struct slu_item){ slu_bytes(copy, s.len), here(w) };
    return true;
}

/* Reads the value of key o, whose first event is the current one. False with a complaint when it has not the form. */
static bool read_value(struct walk *w, const struct slu_option *o, struct items *it)
{
    unsigned line = here(w);
    bool ok = true;
    if (w->ev.type == YAML_SCALAR_EVENT && !is_null(w))
        return items_add(w, it);
    if (is_null(w)) {
        slu_complain(w->ld, slu_place_line(line), "%s has no value; leave the line out%s", o->key,
                     slu_type_is_list(o->type) ? " or write []" : "");
        return false;
    }
    if (w->ev.type == YAML_MAPPING_START_EVENT) {
        struct slu_buf expect;
        slu_buf_init(&expect, KEY_MAX);
        slu_value_expect(o, &expect);
        slu_complain(w->ld, slu_place_line(line), "%s takes %.*s, not a mapping", o->key, (int)expect.len,
                     (const char *)expect.data);
        slu_buf_fini(&expect);
        skip_node(w);
        return false;
    }
    while (next(w) && w->ev.type != YAML_SEQUENCE_END_EVENT) {
        if (w->ev.type == YAML_SCALAR_EVENT && !is_null(w) && it->n < ITEMS_MAX) {
            if (!items_add(w, it))
                return false;
            continue;
        }
        if (ok)
            slu_complain(w->ld, slu_place_line(here(w)), "%s %s", o->key,
                         it->n < ITEMS_MAX ? "takes a list of plain values" : "has too many members");
        ok = false;
        skip_node(w);
    }
    if (ok && !w->failed && !slu_type_is_list(o->type)) {
        struct slu_buf expect;
        slu_buf_init(&expect, KEY_MAX);
        slu_value_expect(o, &expect);
        slu_complain(w->ld, slu_place_line(line), "%s takes %.*s, not a list", o->key, (int)expect.len,
                     (const char *)expect.data);
        slu_buf_fini(&expect);
        ok = false;
    }
    return ok && !w->failed;
}

static void complain_unknown(struct walk *w, unsigned line, struct slu_bytes key, bool in_rule)
{
    struct slu_buf text;
    slu_buf_init(&text, 4 * KEY_MAX);
    slu_buf_add_str(&text, "unknown key ");
    slu_quote_short(key, &text);
    if (in_rule) {
        slu_buf_add_str(&text, " in a topic rule");
        slu_rule_key_suggest(key, &text);
    } else {
        slu_option_suggest(key, &text);
    }
    slu_complain(w->ld, slu_place_line(line), "%.*s", (int)text.len, (const char *)text.data);
    slu_buf_fini(&text);
}

/* The key of a mapping's next pair into `key` behind `prefix.`; the current event is then the value's first. False at
 * the mapping's end or when reading cannot go on. */
static bool next_key(struct walk *w, const char *prefix, struct slu_buf *key, unsigned *line)
{
    for (;;) {
        if (!next(w) || w->ev.type == YAML_MAPPING_END_EVENT)
            return false;
        *line = here(w);
        if (w->ev.type == YAML_SCALAR_EVENT) {
            slu_buf_clear(key);
            slu_buf_addf(key, "%s%s", prefix, *prefix ? "." : "");
            struct slu_bytes s = scalar(w);
            slu_buf_add_bytes(key, slu_bytes(s.data, s.len < KEY_MAX ? s.len : KEY_MAX));
            return next(w);
        }
        slu_complain(w->ld, slu_place_line(*line), "a key must be a plain word");
        if (!skip_node(w) || !next(w) || !skip_node(w))
            return false;
    }
}

static void read_rule(struct walk *w)
{
    struct slu_config_rule r;
    struct slu_buf key;
    unsigned line;
    slu_rule_init(&r, here(w));
    slu_buf_init(&key, 0);
    while (next_key(w, "", &key, &line)) {
        const struct slu_option *o = slu_rule_key_find(slu_buf_bytes(&key));
        struct items it = { 0 };
        if (!o) {
            complain_unknown(w, line, slu_buf_bytes(&key), true);
            skip_node(w);
        } else if (r.key_line[o - slu_rule_keys]) {
            slu_complain(w->ld, slu_place_line(line), "%s stands twice in this rule, first in line %u", o->key,
                         r.key_line[o - slu_rule_keys]);
            skip_node(w);
        } else if (read_value(w, o, &it)) {
            slu_rule_set(w->ld, &r, o, line, it.items, it.n);
        } else {
            r.key_line[o - slu_rule_keys] = line;
        }
        items_fini(&it);
    }
    slu_buf_fini(&key);
    if (w->failed)
        slu_rule_fini(&r);
    else
        slu_rule_add(w->ld, &r);
}

static void read_rules(struct walk *w)
{
    if (is_null(w))
        return;
    if (w->ev.type != YAML_SEQUENCE_START_EVENT) {
        slu_complain(w->ld, slu_place_line(here(w)),
                     "topics takes a list of rules, each beginning with \"- filter: …\"");
        skip_node(w);
        return;
    }
    while (next(w) && w->ev.type != YAML_SEQUENCE_END_EVENT) {
        if (w->ev.type == YAML_MAPPING_START_EVENT) {
            read_rule(w);
            continue;
        }
        slu_complain(w->ld, slu_place_line(here(w)), "a topic rule is a mapping that begins with \"- filter: …\"");
        skip_node(w);
    }
}

static void read_option(struct walk *w, const struct slu_option *o, unsigned line)
{
    struct slu_origin *origin = &w->ld->cfg->origin[o - slu_options];
    struct items it = { 0 };
    if (origin->kind == SLU_FROM_FILE) {
        slu_complain(w->ld, slu_place_line(line), "%s stands twice, first in line %u", o->key, origin->line);
        skip_node(w);
        return;
    }
    *origin = (struct slu_origin){ SLU_FROM_FILE, line };
    if (o->type == SLU_TYPE_RULES)
        read_rules(w);
    else if (read_value(w, o, &it))
        slu_loader_set(w->ld, o, slu_place_line(line), it.items, it.n);
    items_fini(&it);
}

/* prefix "": the whole file, otherwise a section. Sections do not nest, so this goes one deep. */
static void read_mapping(struct walk *w, const char *prefix)
{
    unsigned section_line[SLU_OPT_COUNT] = { 0 };
    struct slu_buf key;
    unsigned line;
    slu_buf_init(&key, 0);
    while (next_key(w, prefix, &key, &line)) {
        const struct slu_option *o = slu_option_find(slu_buf_bytes(&key));
        const struct slu_option *section = *prefix ? NULL : slu_section_find(slu_buf_bytes(&key));
        if (o) {
            read_option(w, o, line);
        } else if (!section) {
            complain_unknown(w, line, slu_buf_bytes(&key), false);
            skip_node(w);
        } else if (section_line[section - slu_options]) {
            slu_complain(w->ld, slu_place_line(line), "%.*s stands twice, first in line %u", (int)key.len,
                         (const char *)key.data, section_line[section - slu_options]);
            skip_node(w);
        } else {
            section_line[section - slu_options] = line;
            slu_buf_add_byte(&key, 0);
            if (key.failed)
                stop(w, line, "out of memory");
            else if (w->ev.type == YAML_MAPPING_START_EVENT)
                read_mapping(w, (const char *)key.data);
            else if (!is_null(w)) {
                slu_complain(w->ld, slu_place_line(line), "%s is a section: it takes keys such as %s below it",
                             (const char *)key.data, section->key + key.len);
                skip_node(w);
            }
        }
    }
    slu_buf_fini(&key);
}

static void read_stream(struct walk *w)
{
    if (!next(w) || !next(w) || w->ev.type != YAML_DOCUMENT_START_EVENT) /* an empty file ends here */
        return;
    if (!next(w))
        return;
    if (w->ev.type == YAML_MAPPING_START_EVENT) {
        read_mapping(w, "");
    } else if (!is_null(w)) {
        slu_complain(w->ld, slu_place_line(here(w)), "the file must be a mapping, with lines such as workers: 4");
        skip_node(w);
    }
    if (next(w) && next(w) && w->ev.type == YAML_DOCUMENT_START_EVENT)
        stop(w, here(w), "a second document (---) is not taken");
}

/* What libyaml would accept in part, or report in its own words. False: a complaint was made. */
static bool check_bytes(struct slu_loader *ld, struct slu_bytes text)
{
    unsigned line = 1;
    const uint8_t *p = text.data, *end = text.len ? text.data + text.len : p;
    while (p < end) {
        const uint8_t *eol = memchr(p, '\n', (size_t)(end - p));
        const uint8_t *stop_at = eol ? eol : end;
        const uint8_t *q = p;
        while (q < stop_at && (*q == ' ' || *q == '\t'))
            q++;
        bool is_blank = q == stop_at || *q == '\r';
        if (!slu_utf8_valid(slu_bytes(p, (size_t)(stop_at - p)))) {
            slu_complain(ld, slu_place_line(line), "not valid UTF-8");
            return false;
        }
        if (!is_blank && memchr(p, '\t', (size_t)(q - p))) {
            slu_complain(ld, slu_place_line(line), "a tab in the indentation; YAML takes blanks only");
            return false;
        }
        p = eol ? eol + 1 : end;
        line++;
    }
    return true;
}

void slu_yaml_load(struct slu_loader *ld, struct slu_bytes text)
{
    struct walk w = { .ld = ld };
    if (!check_bytes(ld, text))
        return;
    if (!yaml_parser_initialize(&w.parser)) {
        slu_complain(ld, slu_place_line(0), "out of memory");
        return;
    }
    yaml_parser_set_encoding(&w.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&w.parser, text.len ? text.data : (const unsigned char *)"", text.len);
    read_stream(&w);
    if (w.has_event)
        yaml_event_delete(&w.ev);
    yaml_parser_delete(&w.parser);
}
