/* Edit distance (optimal string alignment) without memory of its own: words beyond WORD_MAX are compared by their
 * beginnings. Case does not count, and '_' is as good as '-'. */
#include "broker/config/suggest.h"

#include <ctype.h>

enum { WORD_MAX = 64 };

static int letter(struct slu_bytes s, size_t i)
{
    return s.data[i] == '_' ? '-' : tolower(s.data[i]);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t slu_edit_distance(struct slu_bytes a, struct slu_bytes b)
{
    size_t rows[3][WORD_MAX + 1], *before = rows[0], *last = rows[1], *now = rows[2];
    a.len = least(a.len, WORD_MAX);
    b.len = least(b.len, WORD_MAX);
    for (size_t j = 0; j <= b.len; j++)
        last[j] = before[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        now[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            bool same = letter(a, i - 1) == letter(b, j - 1);
            now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + !same);
            if (i > 1 && j > 1 && letter(a, i - 1) == letter(b, j - 2) && letter(a, i - 2) == letter(b, j - 1))
                now[j] = least(now[j], before[j - 2] + 1);
        }
        size_t *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[b.len];
}

void slu_nearest_init(struct slu_nearest *n, struct slu_bytes word)
{
    *n = (struct slu_nearest){ .word = word, .distance = SIZE_MAX };
}

bool slu_nearest_offer(struct slu_nearest *n, struct slu_bytes candidate, struct slu_bytes name, size_t penalty)
{
    size_t d = slu_edit_distance(n->word, candidate) + penalty;
    if (d >= n->distance)
        return false;
    n->distance = d;
    n->best = name;
    return true;
}

void slu_nearest_print(const struct slu_nearest *n, const char *what, struct slu_buf *out)
{
    if (n->best.len == 0)
        return;
    bool is_near = n->distance <= 2 || n->distance <= n->best.len / 3;
    if (is_near)
        slu_buf_addf(out, ", did you mean \"%.*s\"?", (int)n->best.len, (const char *)n->best.data);
    else
        slu_buf_addf(out, "; the nearest valid %s is \"%.*s\"", what, (int)n->best.len, (const char *)n->best.data);
}
