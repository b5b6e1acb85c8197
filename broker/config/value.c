/* Values by type: parse, free, print. A new value is made aside and put into the field only when it is whole. */
#include "broker/config/value.h"

#include "broker/base/utf8.h"
#include "broker/config/names.h"
#include "broker/config/network.h"
#include "broker/config/number.h"
#include "broker/core/topic.h"

#include <stdlib.h>

enum { MEMBERS_TEXT_MAX = 4096, SHOWN_MAX = 80 };

/* Every type's field at once, so that a value can be made before its field is touched. */
union value {
    char *text;
    bool yes;
    uint64_t number;
    int choice;
    struct slu_strings strings;
    struct slu_addrs addrs;
    struct slu_cidrs cidrs;
};

static size_t value_size(enum slu_type t)
{
    switch (t) {
    case SLU_TYPE_STRING:
    case SLU_TYPE_FILTER:
        return sizeof(char *);
    case SLU_TYPE_BOOL:
        return sizeof(bool);
    case SLU_TYPE_INT:
    case SLU_TYPE_BYTES:
    case SLU_TYPE_DURATION:
    case SLU_TYPE_RATE:
        return sizeof(uint64_t);
    case SLU_TYPE_ENUM:
        return sizeof(int);
    case SLU_TYPE_ADDRS:
        return sizeof(struct slu_addrs);
    case SLU_TYPE_CIDRS:
        return sizeof(struct slu_cidrs);
    case SLU_TYPE_RULES:
        return 0;
    default:
        return sizeof(struct slu_strings);
    }
}

/* The n-th word of "a|b|c", empty behind the last. */
static struct slu_bytes choice_word(const char *choices, size_t n)
{
    const char *p = choices;
    for (; p && n > 0; n--) {
        p = strchr(p, '|');
        p = p ? p + 1 : NULL;
    }
    return p ? slu_bytes(p, strcspn(p, "|")) : slu_bytes(NULL, 0);
}

static bool parse_choice(const char *choices, struct slu_bytes text, int *out)
{
    struct slu_bytes word;
    for (int i = 0; (word = choice_word(choices, (size_t)i)).len > 0; i++) {
        if (!slu_bytes_eq(word, text))
            continue;
        *out = i;
        return true;
    }
    return false;
}

static void say_expect(const struct slu_option *o, struct slu_bytes text, struct slu_buf *why)
{
    slu_buf_add_str(why, "takes ");
    slu_value_expect(o, why);
    if (o->flags & SLU_SECRET)
        return;
    slu_buf_add_str(why, ", not ");
    slu_quote_short(text, why);
}

static char *copy(struct slu_bytes text, struct slu_buf *why)
{
    char *s = malloc(text.len + 1);
    if (!s) {
        slu_buf_add_str(why, "does not fit: out of memory");
        return NULL;
    }
    if (text.len > 0)
        memcpy(s, text.data, text.len);
    s[text.len] = '\0';
    return s;
}

static bool parse_single(const struct slu_option *o, struct slu_bytes text, union value *v, struct slu_buf *why)
{
    bool ok = false;
    bool is_number = false;
    switch (o->type) {
    case SLU_TYPE_STRING:
        ok = text.len >= o->min && text.len <= o->max;
        break;
    case SLU_TYPE_FILTER:
        ok = slu_filter_valid(text);
        break;
    case SLU_TYPE_BOOL:
        ok = slu_parse_bool(text, &v->yes);
        break;
    case SLU_TYPE_ENUM:
        ok = parse_choice(o->choices, text, &v->choice);
        break;
    case SLU_TYPE_INT:
        is_number = slu_parse_int(text, &v->number);
        break;
    case SLU_TYPE_BYTES: {
        int word;
        ok = o->choices && parse_choice(o->choices, text, &word);
        if (ok)
            v->number = 0;
        else
            is_number = slu_parse_size(text, &v->number);
        break;
    }
    case SLU_TYPE_DURATION:
        is_number = slu_parse_duration(text, &v->number);
        break;
    case SLU_TYPE_RATE:
        is_number = slu_parse_rate(text, &v->number);
        break;
    default:
        break;
    }
    if (is_number)
        ok = v->number >= o->min && v->number <= o->max;
    if (!ok)
        say_expect(o, text, why);
    else if (o->type == SLU_TYPE_STRING || o->type == SLU_TYPE_FILTER)
        ok = (v->text = copy(text, why)) != NULL;
    return ok;
}

/* A list's member as text in its normal form. */
static bool parse_member(const struct slu_option *o, struct slu_bytes text, char **out, struct slu_buf *why)
{
    struct slu_buf normal;
    bool ok = true;
    slu_buf_init(&normal, MEMBERS_TEXT_MAX);
    if (o->type == SLU_TYPE_ORIGINS)
        ok = slu_parse_origin(text, &normal, why);
    else if (o->type == SLU_TYPE_HOSTS)
        ok = slu_parse_host(text, &normal, why);
    else if (o->type == SLU_TYPE_FIELDS)
        ok = slu_parse_field(text, &normal, why);
    else if (o->type == SLU_TYPE_FILTERS && !slu_filter_valid(text)) {
        slu_buf_add_str(why, "is not a valid topic filter");
        ok = false;
    } else
        slu_buf_add_bytes(&normal, text);
    if (ok && normal.failed) {
        slu_buf_addf(why, "is longer than %d bytes", MEMBERS_TEXT_MAX);
        ok = false;
    }
    if (ok)
        ok = (*out = copy(slu_buf_bytes(&normal), why)) != NULL;
    slu_buf_fini(&normal);
    return ok;
}

/* Adds what one item says to a list that has room for it (two places for addresses). */
static bool parse_item(const struct slu_option *o, struct slu_bytes text, union value *v, struct slu_buf *why)
{
    if (text.len == 0) {
        slu_buf_add_str(why, "is empty");
        return false;
    }
    if (o->type == SLU_TYPE_ADDRS) {
        size_t n = slu_parse_addr(text, &v->addrs.items[v->addrs.n], why);
        v->addrs.n += n;
        return n > 0;
    }
    if (o->type == SLU_TYPE_CIDRS) {
        if (!slu_parse_cidr(text, &v->cidrs.items[v->cidrs.n], why))
            return false;
        v->cidrs.n++;
        return true;
    }
    if (!parse_member(o, text, &v->strings.items[v->strings.n], why))
        return false;
    v->strings.n++;
    return true;
}

static bool reserve_list(const struct slu_option *o, union value *v, size_t n)
{
    if (o->type == SLU_TYPE_ADDRS)
        return (v->addrs.items = calloc(2 * n + 1, sizeof(*v->addrs.items))) != NULL;
    if (o->type == SLU_TYPE_CIDRS)
        return (v->cidrs.items = calloc(n + 1, sizeof(*v->cidrs.items))) != NULL;
    v->strings.set = true;
    return (v->strings.items = calloc(n + 1, sizeof(*v->strings.items))) != NULL;
}

static bool parse_list(const struct slu_option *o, const struct slu_item *items, size_t n, union value *v, size_t *bad,
                       struct slu_buf *why)
{
    *bad = 0;
    if (n < o->min || n > o->max) {
        slu_buf_addf(why, "takes from %llu to %llu members, not %zu", (unsigned long long)o->min,
                     (unsigned long long)o->max, n);
        return false;
    }
    if (!reserve_list(o, v, n)) {
        slu_buf_add_str(why, "does not fit: out of memory");
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        *bad = i;
        size_t start = why->len;
        slu_quote_short(items[i].text, why);
        slu_buf_add_byte(why, ' ');
        if (!parse_item(o, items[i].text, v, why))
            return false;
        why->len = start;
    }
    return true;
}

/* Whether the character at the front is one that YAML could not hold as it is: controls, line separators, marks. */
static bool is_odd(const uint8_t *p, size_t left)
{
    if (p[0] < 0x20 || p[0] == 0x7f)
        return true;
    if (left >= 2 && p[0] == 0xc2 && p[1] < 0xa0)
        return true;
    if (left >= 3 && p[0] == 0xe2 && p[1] == 0x80)
        return p[2] == 0xa8 || p[2] == 0xa9;
    if (left >= 3 && p[0] == 0xef)
        return (p[1] == 0xbb && p[2] == 0xbf) || (p[1] == 0xbf && p[2] >= 0xbe);
    return false;
}

/* What no text in a configuration may hold, wherever it comes from. */
static bool is_clean(struct slu_bytes text, struct slu_buf *why)
{
    if (!slu_utf8_valid(text)) {
        slu_buf_add_str(why, "is not valid UTF-8");
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!is_odd(text.data + i, text.len - i))
            continue;
        slu_buf_add_str(why, "has a control character in it");
        return false;
    }
    return true;
}

bool slu_value_parse(const struct slu_option *o, void *field, const struct slu_item *items, size_t n, size_t *bad,
                     struct slu_buf *why)
{
    union value v;
    bool ok;
    memset(&v, 0, sizeof(v));
    for (*bad = 0; *bad < n; ++*bad)
        if (!is_clean(items[*bad].text, why))
            return false;
    *bad = 0;
    if (slu_type_is_list(o->type)) {
        ok = parse_list(o, items, n, &v, bad, why);
    } else if (n == 1) {
        ok = parse_single(o, items[0].text, &v, why);
    } else {
        slu_buf_add_str(why, "takes ");
        slu_value_expect(o, why);
        slu_buf_add_str(why, ", not a list");
        ok = false;
    }
    if (!ok) {
        slu_value_fini(o, &v);
        return false;
    }
    slu_value_fini(o, field);
    memcpy(field, &v, value_size(o->type));
    return true;
}

static struct slu_bytes trim(struct slu_bytes s)
{
    while (s.len > 0 && s.data[0] == ' ')
        s = slu_bytes(s.data + 1, s.len - 1);
    while (s.len > 0 && s.data[s.len - 1] == ' ')
        s.len--;
    return s;
}

bool slu_value_parse_text(const struct slu_option *o, void *field, const char *text, struct slu_buf *why)
{
    struct slu_bytes all = slu_str(text);
    size_t bad;
    if (!slu_type_is_list(o->type)) {
        struct slu_item one = { .text = all };
        return slu_value_parse(o, field, &one, 1, &bad, why);
    }
    size_t n = trim(all).len > 0;
    for (const char *p = text; n > 0 && (p = strchr(p, ',')); p++)
        n++;
    struct slu_item *items = calloc(n + 1, sizeof(*items));
    if (!items) {
        slu_buf_add_str(why, "does not fit: out of memory");
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const uint8_t *comma = memchr(all.data, ',', all.len);
        size_t len = comma ? (size_t)(comma - all.data) : all.len;
        items[i].text = trim(slu_bytes(all.data, len));
        all = comma ? slu_bytes(comma + 1, all.len - len - 1) : slu_bytes(all.data + len, 0);
    }
    bool ok = slu_value_parse(o, field, items, n, &bad, why);
    free(items);
    return ok;
}

void slu_value_fini(const struct slu_option *o, void *field)
{
    if (o->type == SLU_TYPE_STRING || o->type == SLU_TYPE_FILTER) {
        free(*(char **)field);
    } else if (o->type == SLU_TYPE_ADDRS) {
        struct slu_addrs *a = field;
        for (size_t i = 0; i < a->n; i++)
            free(a->items[i].path);
        free(a->items);
    } else if (o->type == SLU_TYPE_CIDRS) {
        free(((struct slu_cidrs *)field)->items);
    } else if (slu_type_is_list(o->type)) {
        struct slu_strings *s = field;
        for (size_t i = 0; i < s->n; i++)
            free(s->items[i]);
        free(s->items);
    }
    memset(field, 0, value_size(o->type));
}

static void print_addrs(const struct slu_addrs *a, struct slu_buf *out)
{
    size_t written = 0;
    size_t shown = 0;
    for (size_t i = 0; i < a->n; i++)
        shown += !a->items[i].companion;
    if (shown != 1)
        slu_buf_add_byte(out, '[');
    for (size_t i = 0; i < a->n; i++) {
        struct slu_buf text;
        bool has_companion = i + 1 < a->n && a->items[i + 1].companion;
        if (a->items[i].companion)
            continue;
        slu_buf_init(&text, 0);
        if (has_companion)
            slu_buf_addf(&text, "localhost:%u", a->items[i].port);
        else
            slu_addr_print(&a->items[i], &text);
        slu_buf_add_str(out, written++ ? ", " : "");
        slu_quote(slu_buf_bytes(&text), out);
        slu_buf_fini(&text);
    }
    if (shown != 1)
        slu_buf_add_byte(out, ']');
}

static void print_list(const struct slu_option *o, const void *field, struct slu_buf *out)
{
    slu_buf_add_byte(out, '[');
    if (o->type == SLU_TYPE_CIDRS) {
        const struct slu_cidrs *c = field;
        for (size_t i = 0; i < c->n; i++) {
            slu_buf_add_str(out, i ? ", \"" : "\"");
            slu_cidr_print(&c->items[i], out);
            slu_buf_add_byte(out, '"');
        }
    } else {
        const struct slu_strings *s = field;
        for (size_t i = 0; i < s->n; i++) {
            slu_buf_add_str(out, i ? ", " : "");
            slu_quote(slu_str(s->items[i]), out);
        }
    }
    slu_buf_add_byte(out, ']');
}

static void print_number(const struct slu_option *o, uint64_t n, struct slu_buf *out)
{
    if (o->type == SLU_TYPE_BYTES && n == 0 && o->choices)
        slu_buf_add_bytes(out, choice_word(o->choices, 0));
    else if (o->type == SLU_TYPE_BYTES)
        slu_print_size(n, out);
    else if (o->type == SLU_TYPE_DURATION)
        slu_print_duration(n, out);
    else
        slu_buf_add_u64(out, n);
    if (o->type == SLU_TYPE_RATE && n > 0)
        slu_buf_add_str(out, "/s");
}

void slu_value_print(const struct slu_option *o, const void *field, struct slu_buf *out)
{
    switch (o->type) {
    case SLU_TYPE_STRING:
    case SLU_TYPE_FILTER:
        slu_quote(slu_str(*(char *const *)field), out);
        break;
    case SLU_TYPE_BOOL:
        slu_buf_add_str(out, *(const bool *)field ? "true" : "false");
        break;
    case SLU_TYPE_ENUM: {
        int choice;
        memcpy(&choice, field, sizeof(choice));
        slu_buf_add_bytes(out, choice_word(o->choices, (size_t)choice));
        break;
    }
    case SLU_TYPE_INT:
    case SLU_TYPE_BYTES:
    case SLU_TYPE_DURATION:
    case SLU_TYPE_RATE:
        print_number(o, *(const uint64_t *)field, out);
        break;
    case SLU_TYPE_ADDRS:
        print_addrs(field, out);
        break;
    case SLU_TYPE_RULES:
        break;
    default:
        print_list(o, field, out);
        break;
    }
}

static void add_range(const struct slu_option *o, struct slu_buf *out)
{
    struct slu_option plain = *o;
    plain.choices = NULL; /* 0 is a number here */
    print_number(&plain, o->min, out);
    slu_buf_add_str(out, " to ");
    print_number(&plain, o->max, out);
}

static void add_words(const struct slu_option *o, struct slu_buf *out)
{
    struct slu_bytes word;
    for (size_t i = 0; (word = choice_word(o->choices, i)).len > 0; i++) {
        slu_buf_add_str(out, i ? ", " : "");
        slu_buf_add_bytes(out, word);
    }
}

static void expect_range(const struct slu_option *o, const char *what, const char *example, struct slu_buf *out)
{
    slu_buf_addf(out, "%s from ", what);
    add_range(o, out);
    slu_buf_add_str(out, example);
    if (o->choices) {
        slu_buf_add_str(out, ", or ");
        add_words(o, out);
    }
}

void slu_value_expect(const struct slu_option *o, struct slu_buf *out)
{
    switch (o->type) {
    case SLU_TYPE_STRING:
        slu_buf_addf(out, "a text of %llu to %llu bytes", (unsigned long long)o->min, (unsigned long long)o->max);
        break;
    case SLU_TYPE_FILTER:
        slu_buf_add_str(out, "a topic filter, such as prices/# or host/+/cpu");
        break;
    case SLU_TYPE_BOOL:
        slu_buf_add_str(out, "true or false");
        break;
    case SLU_TYPE_INT:
        expect_range(o, "a whole number", "", out);
        break;
    case SLU_TYPE_BYTES:
        expect_range(o, "a size", ", such as 64KiB or 10MB", out);
        break;
    case SLU_TYPE_DURATION:
        expect_range(o, "a duration", ", such as 500ms, 5s or 10m", out);
        break;
    case SLU_TYPE_RATE:
        expect_range(o, "a rate", ", such as 100/s", out);
        break;
    case SLU_TYPE_ENUM:
        slu_buf_add_str(out, "one of ");
        add_words(o, out);
        break;
    case SLU_TYPE_RULES:
        slu_buf_add_str(out, "a list of topic rules");
        break;
    default:
        slu_buf_add_str(out, "a list");
        break;
    }
}

void slu_value_bounds(const struct slu_option *o, struct slu_buf *out)
{
    if (o->type == SLU_TYPE_ENUM) {
        slu_buf_add_str(out, " One of ");
        add_words(o, out);
        slu_buf_add_byte(out, '.');
    } else if (o->type >= SLU_TYPE_INT && o->type <= SLU_TYPE_RATE) {
        slu_buf_add_str(out, " From ");
        add_range(o, out);
        slu_buf_add_byte(out, '.');
    }
}

static void quote_bytes(struct slu_bytes text, size_t max, struct slu_buf *out)
{
    size_t n = text.len <= max ? text.len : max;
    while (n < text.len && n > 0 && (text.data[n] & 0xc0) == 0x80)
        n--; /* whole characters only */
    bool is_text = slu_utf8_valid(slu_bytes(text.data, n));
    slu_buf_add_byte(out, '"');
    for (size_t i = 0; i < n; i++) {
        uint8_t c = text.data[i];
        if (c == '"' || c == '\\')
            slu_buf_addf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !is_text))
            slu_buf_addf(out, "\\x%02X", c);
        else
            slu_buf_add_byte(out, c);
    }
    slu_buf_add_str(out, n < text.len ? "…\"" : "\"");
}

void slu_quote(struct slu_bytes text, struct slu_buf *out)
{
    quote_bytes(text, text.len, out);
}

void slu_quote_short(struct slu_bytes text, struct slu_buf *out)
{
    quote_bytes(text, SHOWN_MAX, out);
}

void slu_print_size(uint64_t n, struct slu_buf *out)
{
    static const char *const units[] = { "", "KiB", "MiB", "GiB", "TiB" };
    size_t u = 0;
    while (n > 0 && n % 1024 == 0 && u + 1 < sizeof(units) / sizeof(*units)) {
        n /= 1024;
        u++;
    }
    slu_buf_addf(out, "%llu%s", (unsigned long long)n, units[u]);
}

void slu_print_duration(uint64_t ms, struct slu_buf *out)
{
    static const struct {
        uint64_t ms;
        const char *name;
    } units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "m" }, { 1000, "s" }, { 1, "ms" } };
    size_t u = 0;
    while (ms % units[u].ms != 0 || (ms == 0 && units[u].ms != 1000))
        u++;
    slu_buf_addf(out, "%llu%s", (unsigned long long)(ms / units[u].ms), units[u].name);
}
