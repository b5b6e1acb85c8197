/* See pending.h. */
#include "broker/core/pending.h"

#include <stdlib.h>

struct entry {
    struct slu_map_node node;
    struct slu_list link;  /* waiting or resting */
    struct slu_list state; /* held or idle */
    struct slu_msg *msg;   /* NULL: idle */
    uint64_t free_ms;      /* resting until then; 0 = waiting */
    struct slu_bytes key;
    bool in_map;
    uint8_t bytes[]; /* the key: it outlives the message */
};

static struct slu_bytes key_of(const struct slu_map_node *n)
{
    return slu_container_of(n, const struct entry, node)->key;
}

static struct entry *entry_of(struct slu_list *link)
{
    return slu_container_of(link, struct entry, link);
}

static struct entry *entry_of_state(struct slu_list *state)
{
    return slu_container_of(state, struct entry, state);
}

void slu_pending_init(struct slu_pending *p, enum slu_pending_key key)
{
    memset(p, 0, sizeof(*p));
    slu_list_init(&p->waiting);
    slu_list_init(&p->resting);
    slu_list_init(&p->held);
    slu_list_init(&p->idle);
    slu_map_init(&p->keys, key_of);
    p->key = key;
}

/* Without its message, which leaves the numbers. */
static void drop_msg(struct slu_pending *p, struct entry *e)
{
    p->n--;
    p->bytes -= e->msg->size;
    slu_msg_unref(e->msg);
    e->msg = NULL;
    slu_list_remove(&e->state);
}

static void set_msg(struct slu_pending *p, struct entry *e, struct slu_msg *m)
{
    e->msg = slu_msg_ref(m);
    p->bytes += m->size;
    p->n++;
    slu_list_push_back(&p->held, &e->state);
}

static void set_idle(struct slu_pending *p, struct entry *e)
{
    slu_list_push_back(&p->idle, &e->state);
    p->n_idle++;
}

static void end_idle(struct slu_pending *p, struct entry *e)
{
    slu_list_remove(&e->state);
    p->n_idle--;
}

static void entry_free(struct slu_pending *p, struct entry *e)
{
    if (e->msg)
        drop_msg(p, e);
    else if (e->free_ms)
        end_idle(p, e);
    if (e->in_map)
        slu_map_del(&p->keys, &e->node);
    slu_list_remove(&e->link);
    free(e);
}

void slu_pending_fini(struct slu_pending *p)
{
    slu_list_each (it, &p->waiting)
        entry_free(p, entry_of(it));
    slu_list_each (it, &p->resting)
        entry_free(p, entry_of(it));
    slu_map_fini(&p->keys);
}

/* By key: a message without one counts under its topic; the two kinds cannot meet, a first byte tells them apart. */
static struct entry *entry_new(const struct slu_pending *p, const struct slu_msg *m)
{
    bool by_key = p->key == SLU_PENDING_BY_KEY && m->key.len;
    struct slu_bytes k = by_key ? m->key : m->topic;
    size_t len = p->key == SLU_PENDING_EACH ? 0 : k.len + 1;
    struct entry *e = calloc(1, sizeof(*e) + len);
    if (!e)
        return NULL;
    slu_list_init(&e->link);
    slu_list_init(&e->state);
    if (len) {
        e->bytes[0] = by_key ? 'k' : 't';
        memcpy(e->bytes + 1, k.data, k.len);
    }
    e->key = slu_bytes(e->bytes, len);
    return e;
}

/* A replay reads home by home, and a key may have values at several: one home's sequence decides, else the time. */
static bool is_newer(const struct slu_msg *m, const struct slu_msg *held)
{
    if (m->seq && held->seq && m->home == held->home)
        return m->seq > held->seq;
    return m->ts_ms >= held->ts_ms;
}

static enum slu_pending_put put_known(struct slu_pending *p, struct entry *e, struct slu_msg *m)
{
    if (!e->msg) {
        end_idle(p, e);
        set_msg(p, e, m);
        return SLU_PUT_NEW;
    }
    if (!is_newer(m, e->msg))
        return SLU_PUT_REPLACED;
    p->bytes += m->size - e->msg->size;
    slu_msg_unref(e->msg);
    e->msg = slu_msg_ref(m);
    return SLU_PUT_REPLACED;
}

static void rest(struct slu_pending *p, struct entry *e, uint64_t free_ms)
{
    e->free_ms = free_ms;
    slu_list_remove(&e->link);
    slu_list_push_back(&p->resting, &e->link);
    set_idle(p, e);
}

enum slu_pending_put slu_pending_put(struct slu_pending *p, struct slu_msg *m, uint64_t free_ms)
{
    struct entry *e = entry_new(p, m);
    if (!e)
        return SLU_PUT_FAILED;
    if (p->key != SLU_PENDING_EACH) {
        struct slu_map_node *n = slu_map_get(&p->keys, e->key);
        if (n) {
            free(e);
            return put_known(p, slu_container_of(n, struct entry, node), m);
        }
        if (!slu_map_add(&p->keys, &e->node)) {
            free(e);
            return SLU_PUT_FAILED;
        }
        e->in_map = true;
        if (free_ms) {
            rest(p, e, free_ms);
            return SLU_PUT_FIRST;
        }
    }
    set_msg(p, e, m);
    slu_list_push_back(&p->waiting, &e->link);
    return SLU_PUT_NEW;
}

struct slu_msg *slu_pending_first(const struct slu_pending *p)
{
    return slu_list_empty(&p->waiting) ? NULL : entry_of(p->waiting.next)->msg;
}

void slu_pending_drop_first(struct slu_pending *p, uint64_t free_ms)
{
    struct entry *e = entry_of(p->waiting.next);
    if (!free_ms) {
        entry_free(p, e);
        return;
    }
    drop_msg(p, e);
    rest(p, e, free_ms);
}

void slu_pending_drop_oldest(struct slu_pending *p)
{
    struct entry *e = entry_of_state(p->held.next);
    if (!e->free_ms) {
        entry_free(p, e);
        return;
    }
    drop_msg(p, e);
    set_idle(p, e);
}

void slu_pending_wake(struct slu_pending *p, uint64_t now_ms)
{
    while (!slu_list_empty(&p->resting)) {
        struct entry *e = entry_of(p->resting.next);
        if (e->free_ms > now_ms)
            return;
        if (!e->msg) {
            entry_free(p, e);
            continue;
        }
        e->free_ms = 0;
        slu_list_remove(&e->link);
        slu_list_push_back(&p->waiting, &e->link);
    }
}

uint64_t slu_pending_next_free(const struct slu_pending *p)
{
    return slu_list_empty(&p->resting) ? 0 : entry_of(p->resting.next)->free_ms;
}

void slu_pending_forget_idle(struct slu_pending *p)
{
    entry_free(p, entry_of_state(p->idle.next));
}
