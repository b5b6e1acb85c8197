/* See pending.h. */
#include "broker/core/pending.h"

#include <stdlib.h>

struct entry {
    struct slu_map_node node;
    struct slu_list link;
    struct slu_msg *msg; /* NULL in `sent` */
    struct slu_bytes key;
    bool in_map;
    uint8_t bytes[]; /* the key: it outlives the message in `sent` */
};

static struct slu_bytes key_of(const struct slu_map_node *n)
{
    return slu_container_of(n, const struct entry, node)->key;
}

void slu_pending_init(struct slu_pending *p, enum slu_pending_key key)
{
    memset(p, 0, sizeof(*p));
    slu_list_init(&p->waiting);
    slu_list_init(&p->sent);
    slu_map_init(&p->keys, key_of);
    p->key = key;
}

static void entry_free(struct slu_pending *p, struct entry *e)
{
    if (e->in_map)
        slu_map_del(&p->keys, &e->node);
    slu_list_remove(&e->link);
    slu_msg_unref(e->msg);
    free(e);
}

void slu_pending_fini(struct slu_pending *p)
{
    slu_list_each(it, &p->waiting) entry_free(p, slu_container_of(it, struct entry, link));
    slu_list_each(it, &p->sent) entry_free(p, slu_container_of(it, struct entry, link));
    slu_map_fini(&p->keys);
    p->n = p->bytes = p->n_sent = 0;
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
    if (len) {
        e->bytes[0] = by_key ? 'k' : 't';
        memcpy(e->bytes + 1, k.data, k.len);
    }
    e->key = slu_bytes(e->bytes, len);
    return e;
}

static void hold(struct slu_pending *p, struct entry *e, struct slu_msg *m)
{
    e->msg = slu_msg_ref(m);
    p->bytes += m->size;
    p->n++;
    slu_list_push_back(&p->waiting, &e->link);
}

enum slu_pending_put slu_pending_put(struct slu_pending *p, struct slu_msg *m, bool window)
{
    struct entry *e = entry_new(p, m);
    if (!e)
        return SLU_PUT_FAILED;
    if (p->key == SLU_PENDING_EACH) {
        hold(p, e, m);
        return SLU_PUT_NEW;
    }
    struct slu_map_node *n = slu_map_get(&p->keys, e->key);
    if (n) {
        free(e);
        e = slu_container_of(n, struct entry, node);
        if (!e->msg) {
            slu_list_remove(&e->link);
            p->n_sent--;
            hold(p, e, m);
            return SLU_PUT_NEW;
        }
        p->bytes += m->size - e->msg->size;
        slu_msg_unref(e->msg);
        e->msg = slu_msg_ref(m);
        return SLU_PUT_REPLACED;
    }
    if (!slu_map_add(&p->keys, &e->node)) {
        free(e);
        return SLU_PUT_FAILED;
    }
    e->in_map = true;
    if (window) {
        p->n_sent++;
        slu_list_push_back(&p->sent, &e->link);
        return SLU_PUT_FIRST;
    }
    hold(p, e, m);
    return SLU_PUT_NEW;
}

struct slu_msg *slu_pending_first(const struct slu_pending *p)
{
    return p->n ? slu_container_of(p->waiting.next, struct entry, link)->msg : NULL;
}

void slu_pending_drop_first(struct slu_pending *p, bool window)
{
    struct entry *e = slu_container_of(p->waiting.next, struct entry, link);
    p->n--;
    p->bytes -= e->msg->size;
    if (!window) {
        entry_free(p, e);
        return;
    }
    slu_msg_unref(e->msg);
    e->msg = NULL;
    slu_list_remove(&e->link);
    slu_list_push_back(&p->sent, &e->link);
    p->n_sent++;
}

void slu_pending_forget_sent(struct slu_pending *p)
{
    entry_free(p, slu_container_of(p->sent.next, struct entry, link));
    p->n_sent--;
}

void slu_pending_new_window(struct slu_pending *p)
{
    slu_list_each(it, &p->sent) entry_free(p, slu_container_of(it, struct entry, link));
    p->n_sent = 0;
}
