#include "clients/c/src/topic.h"

#include "broker/base/utf8.h"

enum { TOPIC_MAX = 1024, LEVELS_MAX = 64 };

static bool name_ok(struct slu_bytes v)
{
    size_t levels = 1;
    if (v.len == 0 || v.len > TOPIC_MAX || !slu_utf8_valid(v))
        return false;
    for (size_t i = 0; i < v.len; i++) {
        if (v.data[i] < 0x20 || v.data[i] == 0x7f)
            return false;
        if (v.data[i] == 0xc2 && v.data[i + 1] < 0xa0) /* C1 controls; the text is valid UTF-8, so i + 1 is there */
            return false;
        levels += v.data[i] == '/';
    }
    return levels <= LEVELS_MAX;
}

bool slu_topic_ok(struct slu_bytes topic)
{
    return name_ok(topic) && !memchr(topic.data, '+', topic.len) && !memchr(topic.data, '#', topic.len);
}

bool slu_filter_ok(struct slu_bytes f)
{
    if (!name_ok(f))
        return false;
    for (size_t i = 0; i < f.len; i++) {
        if (f.data[i] != '+' && f.data[i] != '#')
            continue;
        bool starts = i == 0 || f.data[i - 1] == '/', ends = i + 1 == f.len || f.data[i + 1] == '/';
        if (!starts || !ends || (f.data[i] == '#' && i + 1 != f.len))
            return false;
    }
    return true;
}

bool slu_filter_wild(struct slu_bytes f)
{
    return memchr(f.data, '+', f.len) || memchr(f.data, '#', f.len);
}

bool slu_filter_takes(struct slu_bytes filter, struct slu_bytes topic)
{
    const uint8_t *f = filter.data, *f_end = f + filter.len, *t = topic.data, *t_end = t + topic.len;
    if (topic.len && *t == '$' && filter.len && (*f == '+' || *f == '#'))
        return false;
    while (f < f_end) {
        if (*f == '#')
            return true;
        if (*f == '+') {
            f++;
            while (t < t_end && *t != '/')
                t++;
        } else {
            while (f < f_end && *f != '/' && t < t_end && *t == *f)
                f++, t++;
        }
        bool f_done = f == f_end, t_done = t == t_end;
        if (t_done && !f_done) /* "a/#" matches "a" */
            return f_end - f == 2 && f[0] == '/' && f[1] == '#';
        if (f_done || *f != '/' || *t != '/')
            return f_done && t_done;
        f++, t++;
    }
    return t == t_end && filter.len && filter.data[filter.len - 1] == '/';
}
