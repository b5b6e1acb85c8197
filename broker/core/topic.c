/* Everything walks level by level and once, so no filter makes a comparison cost more than its length. */
#include "broker/core/topic.h"

#include "broker/base/utf8.h"

struct slu_bytes slu_topic_next_level(struct slu_bytes *rest, bool *more)
{
    const uint8_t *end = rest->len ? memchr(rest->data, '/', rest->len) : NULL;
    struct slu_bytes level = { rest->data, end ? (size_t)(end - rest->data) : rest->len };
    *more = end != NULL;
    if (end)
        *rest = (struct slu_bytes){ end + 1, rest->len - level.len - 1 };
    else
        rest->len = 0;
    return level;
}

size_t slu_topic_split(struct slu_bytes topic, struct slu_bytes levels[SLU_TOPIC_LEVELS])
{
    size_t n = 0;
    bool more = true;
    while (more) {
        if (n == SLU_TOPIC_LEVELS)
            return 0;
        levels[n++] = slu_topic_next_level(&topic, &more);
    }
    return n;
}

/* Length, levels, controls and encoding: what topics and filters have in common. Says whether '+' or '#' occurs. */
static bool text_valid(struct slu_bytes text, bool *has_wildcard)
{
    if (text.len == 0 || text.len > SLU_TOPIC_MAX)
        return false;
    size_t levels = 1;
    bool ascii = true, wild = false;
    uint8_t before = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c < 0x20 || c == 0x7f || (before == 0xc2 && c < 0xa0))
            return false;
        levels += c == '/';
        wild |= c == '+' || c == '#';
        ascii &= c < 0x80;
        before = c;
    }
    *has_wildcard = wild;
    return levels <= SLU_TOPIC_LEVELS && (ascii || slu_utf8_valid(text));
}

bool slu_topic_valid(struct slu_bytes topic)
{
    bool wild;
    return text_valid(topic, &wild) && !wild;
}

bool slu_filter_valid(struct slu_bytes filter)
{
    bool wild;
    if (!text_valid(filter, &wild))
        return false;
    for (bool more = wild; more;) {
        struct slu_bytes level = slu_topic_next_level(&filter, &more);
        if (level.len > 1 && (memchr(level.data, '+', level.len) || memchr(level.data, '#', level.len)))
            return false;
        if (slu_level_is_hash(level) && more)
            return false;
    }
    return true;
}

bool slu_filter_is_wild(struct slu_bytes filter)
{
    return filter.len > 0 && (memchr(filter.data, '+', filter.len) || filter.data[filter.len - 1] == '#');
}

static bool begins_wild(struct slu_bytes filter)
{
    return filter.len > 0 && (filter.data[0] == '+' || filter.data[0] == '#');
}

static bool begins_dollar(struct slu_bytes topic)
{
    return topic.len > 0 && topic.data[0] == '$';
}

bool slu_filter_matches(struct slu_bytes filter, struct slu_bytes topic)
{
    if (begins_wild(filter) && begins_dollar(topic))
        return false;
    bool filter_more = true, topic_more = true;
    while (filter_more) {
        struct slu_bytes want = slu_topic_next_level(&filter, &filter_more);
        if (slu_level_is_hash(want))
            return true; /* the topic may have ended: that is the parent */
        if (!topic_more)
            return false;
        struct slu_bytes have = slu_topic_next_level(&topic, &topic_more);
        if (!slu_level_is_plus(want) && !slu_bytes_eq(want, have))
            return false;
    }
    return !topic_more;
}

/* No topic is empty, so "#" and "/#" have no parent to match: they say the same as these, which need no special case. */
static struct slu_bytes without_empty_parent(struct slu_bytes filter)
{
    if (slu_level_is_hash(filter))
        return SLU_LIT("+/#");
    return slu_bytes_eq(filter, SLU_LIT("/#")) ? SLU_LIT("/+/#") : filter;
}

bool slu_filter_covers(struct slu_bytes wide, struct slu_bytes narrow)
{
    if (begins_wild(wide) && begins_dollar(narrow))
        return false;
    narrow = without_empty_parent(narrow);
    bool wide_more = true, narrow_more = true;
    while (wide_more) {
        struct slu_bytes w = slu_topic_next_level(&wide, &wide_more);
        if (slu_level_is_hash(w))
            return true;
        if (!narrow_more)
            return false;
        struct slu_bytes n = slu_topic_next_level(&narrow, &narrow_more);
        if (slu_level_is_hash(n))
            return false; /* it matches the parent, which w does not */
        if (!slu_level_is_plus(w) && !slu_bytes_eq(w, n))
            return false;
    }
    return !narrow_more;
}

bool slu_filter_overlaps(struct slu_bytes a, struct slu_bytes b)
{
    if ((begins_wild(a) && begins_dollar(b)) || (begins_wild(b) && begins_dollar(a)))
        return false;
    a = without_empty_parent(a);
    b = without_empty_parent(b);
    bool a_more = true, b_more = true;
    while (a_more && b_more) {
        struct slu_bytes x = slu_topic_next_level(&a, &a_more), y = slu_topic_next_level(&b, &b_more);
        if (slu_level_is_hash(x) || slu_level_is_hash(y))
            return true;
        if (!slu_level_is_plus(x) && !slu_level_is_plus(y) && !slu_bytes_eq(x, y))
            return false;
    }
    /* both ended here, or the longer one goes on with nothing but '#' and so matches its parent, the shorter one */
    return a_more == b_more || slu_level_is_hash(a_more ? a : b);
}

enum kind { LITERAL, PLUS, END, HASH };

static enum kind next_kind(struct slu_bytes *rest, bool *more)
{
    if (!*more)
        return END;
    struct slu_bytes level = slu_topic_next_level(rest, more);
    return slu_level_is_hash(level) ? HASH : slu_level_is_plus(level) ? PLUS : LITERAL;
}

int slu_filter_compare(struct slu_bytes a, struct slu_bytes b)
{
    struct slu_bytes a_rest = a, b_rest = b;
    bool a_more = true, b_more = true;
    while (a_more || b_more) {
        enum kind x = next_kind(&a_rest, &a_more), y = next_kind(&b_rest, &b_more);
        if (x != y)
            return x < y ? -1 : 1;
    }
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common ? memcmp(a.data, b.data, common) : 0;
    if (order != 0)
        return order;
    return a.len == b.len ? 0 : a.len < b.len ? -1 : 1;
}
