/* What a home committed, in order: the way of scans that go over many topics. Trimming leaves holes; when more than
 * half are holes the rest moves together. There is never a hole at the front. */
#include "storage/memory/home.h"

#include <assert.h>
#include <stdlib.h>

enum { FIRST_CAP = 64 };

/* Moves what is no hole to a table of another size, or to the front of the same one. */
static void move_entries(struct mem_commits *c, struct mem_entry *to)
{
    size_t n = 0;
    for (size_t i = c->start; i < c->end; i++) {
        if (c->entries[i].topic)
            to[n++] = c->entries[i];
    }
    c->start = 0;
    c->end = n;
    c->holes = 0;
}

static bool resize(struct mem_home *h, size_t cap)
{
    struct mem_commits *c = &h->commits;
    struct mem_entry *entries = mem_alloc(h, cap * sizeof(struct mem_entry));
    if (!entries)
        return false;
    move_entries(c, entries);
    mem_free(h, c->entries, c->cap * sizeof(struct mem_entry));
    c->entries = entries;
    c->cap = cap;
    return true;
}

static size_t live(const struct mem_commits *c)
{
    return c->end - c->start - c->holes;
}

bool mem_commits_reserve(struct mem_home *h)
{
    struct mem_commits *c = &h->commits;
    if (c->end < c->cap)
        return true;
    if (live(c) < c->cap / 2) {
        move_entries(c, c->entries);
        return true;
    }
    return resize(h, c->cap ? c->cap * 2 : FIRST_CAP);
}

void mem_commits_add(struct mem_home *h, struct mem_topic *t, struct slu_msg *m)
{
    struct mem_commits *c = &h->commits;
    assert(c->end < c->cap);
    if (m->ts_ms > h->max_ts)
        h->max_ts = m->ts_ms;
    c->entries[c->end++] = (struct mem_entry){ m->seq, h->max_ts, m, t };
}

size_t mem_commits_after(const struct mem_commits *c, uint64_t seq)
{
    size_t low = c->start, high = c->end;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (c->entries[mid].seq <= seq)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

size_t mem_commits_since(const struct mem_commits *c, uint64_t ts_ms)
{
    size_t low = c->start, high = c->end;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (c->entries[mid].max_ts < ts_ms)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct mem_entry *entry_of(struct mem_commits *c, uint64_t seq)
{
    struct mem_entry *e = &c->entries[mem_commits_after(c, seq - 1)];
    assert(e->seq == seq && e->topic);
    return e;
}

void mem_commits_expire(struct mem_home *h, uint64_t seq)
{
    entry_of(&h->commits, seq)->msg = NULL;
}

void mem_commits_kill(struct mem_home *h, uint64_t seq)
{
    struct mem_commits *c = &h->commits;
    struct mem_entry *e = entry_of(c, seq);
    e->topic = NULL;
    e->msg = NULL;
    c->holes++;
    while (c->start < c->end && !c->entries[c->start].topic) {
        c->start++;
        c->holes--;
    }
    if (c->end - c->start <= FIRST_CAP || c->holes <= live(c))
        return;
    /* Without memory for a smaller table the old one serves. */
    if (c->cap <= FIRST_CAP || live(c) > c->cap / 4 || !resize(h, c->cap / 2))
        move_entries(c, c->entries);
}
