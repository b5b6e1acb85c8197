/* Subscriptions: made, sent, answered, made again after a loss. A subscription object belongs to the caller until it
 * unsubscribes or on_end ran; its slot is kept on until the broker can send nothing more under its number.
 * While messages are handed out nothing is unlinked: freed subscriptions are marked and reaped when no callback runs. */
#include "clients/c/src/sub.h"

#include "broker/base/rng.h"

#include <math.h>
#include <stdlib.h>

enum { FIRST_SUBS = 8, SUBS_MAX = 1 << 20, RETRY_MIN_MS = 1000, RETRY_SPREAD_MS = 2000 };

/* Stands in a slot whose subscription is gone but whose number is still in use. */
static sluice_client_sub gone;

static struct slu_bytes key_of(const struct slu_map_node *n)
{
    const struct slu_filter *f = slu_container_of((struct slu_map_node *)(uintptr_t)n, struct slu_filter, node);
    return slu_bytes(f->topic, f->len);
}

void slu_subs_init(sluice_client *c)
{
    slu_map_init(&c->exact, key_of);
    slu_list_init(&c->plain_wild);
    slu_list_init(&c->dead_subs);
}

/* ---- options ---- */

static bool is_plain(const struct sluice_sub_options *o)
{
    return !o->filter && !o->conflate && !o->use_credit && !o->overflow && !o->durable && !o->group && !o->ack;
}

static bool options_ok(const struct sluice_sub_options *o, bool wild)
{
    if (o->filter && !slu_json_valid(o->filter, true))
        return false;
    if (o->conflate && !(o->conflate_hz > 0 && isfinite(o->conflate_hz)))
        return false;
    if ((o->from == SLUICE_FROM_OFFSET && (wild || !o->from_epoch)) ||
        (o->from == SLUICE_FROM_CURSOR && !o->from_cursor))
        return false;
    if (o->from == SLUICE_FROM_LAST && o->from_n == 0)
        return false;
    return (unsigned)o->from <= SLUICE_FROM_CURSOR && (unsigned)o->overflow <= SLUICE_OVERFLOW_CLOSE;
}

static bool own(const char **s)
{
    if (!*s)
        return true;
    *s = strdup(*s);
    return *s != NULL;
}

static void free_sub(sluice_client_sub *s)
{
    free((void *)(uintptr_t)s->o.from_epoch);
    free((void *)(uintptr_t)s->o.from_cursor);
    free((void *)(uintptr_t)s->o.filter);
    free((void *)(uintptr_t)s->o.durable);
    free((void *)(uintptr_t)s->o.group);
    free(s->filter);
    slu_seen_fini(s);
    free(s);
}

static sluice_client_sub *new_sub(sluice_client *c, const char *filter, const struct sluice_sub_options *o)
{
    sluice_client_sub *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->client = c;
    s->o = *o;
    slu_list_init(&s->link);
    slu_list_init(&s->reap);
    slu_seen_init(s);
    const char **strings[] = { &s->o.from_epoch, &s->o.from_cursor, &s->o.filter, &s->o.durable, &s->o.group };
    bool ok = true;
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
        ok = own(strings[i]) && ok; /* all of them: none may stay the caller's */
    s->filter = strdup(filter);
    if (!ok || !s->filter) {
        free_sub(s);
        return NULL;
    }
    s->filter_len = strlen(filter);
    s->wild = slu_filter_wild(slu_str(filter));
    s->plain = is_plain(o);
    s->dedup = !o->group && !o->durable && !o->ack && !o->conflate;
    s->serial = ++c->sub_serial;
    return s;
}

/* ---- slots and the index of plain subscriptions ---- */

static bool take_slot(sluice_client *c, sluice_client_sub *s)
{
    uint32_t slot = 0;
    while (slot < c->n_subs && c->subs[slot])
        slot++;
    if (slot == c->n_subs) {
        uint32_t n = c->n_subs ? c->n_subs * 2 : FIRST_SUBS;
        sluice_client_sub **fresh = n > SUBS_MAX ? NULL : realloc(c->subs, n * sizeof(sluice_client_sub *));
        if (!fresh)
            return false;
        memset(fresh + c->n_subs, 0, (n - c->n_subs) * sizeof(sluice_client_sub *));
        c->subs = fresh;
        c->n_subs = n;
    }
    c->subs[slot] = s;
    s->slot = slot;
    return true;
}

static bool index_plain(sluice_client *c, sluice_client_sub *s)
{
    if (!s->plain)
        return true;
    if (s->wild) {
        slu_list_push_back(&c->plain_wild, &s->link);
        return true;
    }
    struct slu_bytes topic = slu_bytes(s->filter, s->filter_len);
    struct slu_map_node *n = slu_map_get(&c->exact, topic);
    struct slu_filter *f = n ? slu_container_of(n, struct slu_filter, node) : NULL;
    if (!f) {
        f = calloc(1, sizeof(*f) + topic.len);
        if (!f)
            return false;
        f->len = topic.len;
        memcpy(f->topic, topic.data, topic.len);
        slu_list_init(&f->subs);
        if (!slu_map_add(&c->exact, &f->node)) {
            free(f);
            return false;
        }
    }
    slu_list_push_back(&f->subs, &s->link);
    s->entry = f;
    return true;
}

static void unlink_sub(sluice_client *c, sluice_client_sub *s)
{
    slu_list_remove(&s->link);
    if (s->entry && slu_list_empty(&s->entry->subs)) {
        slu_map_del(&c->exact, &s->entry->node);
        free(s->entry);
    }
    s->entry = NULL;
}

void slu_subs_reap(sluice_client *c)
{
    slu_list_each (it, &c->dead_subs) {
        sluice_client_sub *s = slu_container_of(it, sluice_client_sub, reap);
        slu_list_remove(&s->reap);
        unlink_sub(c, s);
        free_sub(s);
    }
}

void slu_subs_fini(sluice_client *c)
{
    slu_subs_reap(c);
    for (uint32_t i = 0; i < c->n_subs; i++) {
        sluice_client_sub *s = c->subs[i];
        if (!s || s == &gone)
            continue;
        unlink_sub(c, s);
        free_sub(s);
    }
    free(c->subs);
    c->subs = NULL;
    c->n_subs = 0;
    slu_map_fini(&c->exact);
}

sluice_client_sub *slu_sub_get(sluice_client *c, uint64_t number)
{
    if (number == 0 || number > c->n_subs)
        return NULL;
    sluice_client_sub *s = c->subs[number - 1];
    return s && s != &gone && !s->freed ? s : NULL;
}

/* ---- sending ---- */

static bool put_options(struct slu_buf *b, const sluice_client_sub *s)
{
    static const char *const overflow[] = { NULL, "pause", "conflate", "drop_oldest", "close" };
    const struct sluice_sub_options *o = &s->o;
    if (o->filter)
        slu_put_json(b, "filter", slu_str(o->filter));
    if (o->conflate) {
        slu_put_name(b, "conflate");
        slu_buf_add_str(b, o->conflate_by_key ? "{\"by\":\"key\",\"hz\":" : "{\"hz\":");
        slu_json_add_double(b, o->conflate_hz);
        slu_buf_add_byte(b, '}');
    }
    if (o->use_credit)
        slu_put_u64(b, "credit", o->credit);
    slu_put_str(b, "overflow", overflow[o->overflow]);
    slu_put_str(b, "durable", o->durable);
    slu_put_str(b, "group", o->group);
    if (o->ack)
        slu_put_json(b, "ack", SLU_LIT("true"));
    if (o->ack_wait_ms)
        slu_put_u64(b, "ack_wait_ms", o->ack_wait_ms);
    if (o->max_try)
        slu_put_u64(b, "max_try", o->max_try);
    if (o->presence)
        slu_put_json(b, "presence", SLU_LIT("true"));
    if (o->no_echo)
        slu_put_json(b, "echo", SLU_LIT("false"));
    return true;
}

static bool put_start(struct slu_buf *b, sluice_client_sub *s)
{
    const struct sluice_sub_options *o = &s->o;
    bool remembered = o->group || o->durable; /* the broker knows where these stand */
    s->resuming = !remembered && slu_seen_any(s);
    s->replaying = s->resuming || o->from != SLUICE_FROM_NEW;
    if (!s->resuming)
        return slu_put_from(b, o->from, o->from_n, o->from_time_ms, o->from_offset, o->from_epoch, o->from_cursor);
    if (s->wild)
        return slu_put_from(b, SLUICE_FROM_CURSOR, 0, 0, 0, NULL, s->cur);
    char epoch[SLU_EPOCH_MAX + 1];
    memcpy(epoch, s->pos.epoch, s->pos.epoch_len);
    epoch[s->pos.epoch_len] = '\0';
    return slu_put_from(b, SLUICE_FROM_OFFSET, 0, 0, s->pos.offset, epoch, NULL);
}

/* Queues the sub frame of s. */
static enum sluice_status send_sub(sluice_client *c, sluice_client_sub *s)
{
    struct slu_pending *p = slu_pending_new(c, SLU_P_SUB, NULL, NULL);
    if (!p)
        return SLUICE_ENOMEM;
    p->sub_slot = s->slot;
    p->sub_serial = s->serial;
    struct slu_buf *b = slu_tx_begin(c, "sub");
    slu_put_bytes_str(b, "topic", slu_bytes(s->filter, s->filter_len));
    slu_put_u64(b, "sub", (uint64_t)s->slot + 1);
    put_options(b, s);
    enum sluice_status rc = SLUICE_EINVAL;
    if (put_start(b, s))
        rc = slu_tx_end(c, p->id, SLU_REC_BOUND);
    else
        slu_outq_cancel(c->tx_to);
    if (rc != SLUICE_OK)
        slu_pending_drop(c, p);
    else
        s->state = SLU_SUB_SENT;
    return rc;
}

static void retry_later(sluice_client *c)
{
    if (ev_is_active(&c->resub_ev))
        return;
    double after_s = (RETRY_MIN_MS + (double)slu_rng_below(RETRY_SPREAD_MS)) / 1000;
    ev_timer_set(&c->resub_ev, after_s, 0.);
    ev_timer_start(c->loop, &c->resub_ev);
}

static void send_those(sluice_client *c, enum slu_sub_state state)
{
    for (uint32_t slot = 0; slot < c->n_subs; slot++) {
        sluice_client_sub *s = slu_sub_get(c, (uint64_t)slot + 1);
        if (!s || s->state != state || send_sub(c, s) == SLUICE_OK)
            continue;
        s->state = SLU_SUB_REFUSED; /* out of memory: once more in a while */
        retry_later(c);
    }
}

/* They go before the publishes that waited for the connection: what is published now is to be heard. */
void slu_subs_send_all(sluice_client *c)
{
    c->tx_to = &c->urgent;
    send_those(c, SLU_SUB_WAITING);
    c->tx_to = &c->outq;
}

void slu_subs_retry(sluice_client *c)
{
    if (c->phase == SLU_PH_UP)
        send_those(c, SLU_SUB_REFUSED);
}

void slu_subs_lost(sluice_client *c)
{
    double now = ev_now(c->loop);
    for (uint32_t slot = 0; slot < c->n_subs; slot++) {
        sluice_client_sub *s = c->subs[slot];
        if (s == &gone)
            c->subs[slot] = NULL;
        if (!s || s == &gone)
            continue;
        if (s->state == SLU_SUB_LIVE)
            slu_seen_settle(s, now);
        s->state = SLU_SUB_WAITING;
    }
}

/* ---- answers ---- */

/* Marks s as gone; the object is freed when no callback runs. */
static void retire(sluice_client *c, sluice_client_sub *s, bool number_in_use)
{
    s->freed = true;
    s->state = SLU_SUB_GONE;
    c->subs[s->slot] = number_in_use ? &gone : NULL;
    slu_list_push_back(&c->dead_subs, &s->reap);
}

void slu_sub_unsub_done(sluice_client *c, uint32_t slot)
{
    if (slot < c->n_subs && c->subs[slot] == &gone)
        c->subs[slot] = NULL;
}

static void note_ok(sluice_client_sub *s, const struct sluice_result *r, struct slu_bytes cur)
{
    if (s->resuming && !r->recovered)
        slu_seen_clear(s); /* announced by gap; what comes now is as `latest` */
    if (!r->recovered)
        s->resuming = false;
    s->ok_pos.set = false;
    free(s->ok_cur);
    s->ok_cur = NULL;
    if (s->wild) {
        if (cur.data && cur.len <= SLU_CURSOR_MAX)
            s->ok_cur = strndup((const char *)cur.data, cur.len);
    } else if (!(s->o.conflate && s->o.conflate_by_key)) {
        slu_pos_set(&s->ok_pos, r->epoch, r->offset);
        if (s->ok_pos.set && r->offset == 0 && !s->pos.set)
            s->pos = s->ok_pos; /* an empty log: nothing of it can be under way */
    }
    s->last_replay = ev_now(s->client->loop);
    s->state = SLU_SUB_LIVE;
    s->was_live = true;
}

void slu_sub_answer(sluice_client *c, uint32_t slot, uint64_t serial, const struct sluice_result *r,
                    struct slu_bytes cur)
{
    sluice_client_sub *s = slu_sub_get(c, (uint64_t)slot + 1);
    if (!s || s->serial != serial)
        return;
    enum sluice_status status = r->error.status;
    bool passing = status != SLUICE_OK && (status != SLUICE_EBROKER || r->error.retry);
    if (status == SLUICE_OK) {
        note_ok(s, r, cur);
    } else if (passing) {
        s->state = SLU_SUB_REFUSED;
        retry_later(c);
    }
    if (s->o.on_ready)
        s->o.on_ready(s->o.arg, s, r);
    if (status == SLUICE_OK || passing || s->freed || slu_is_over(c))
        return;
    if (s->o.on_end)
        s->o.on_end(s->o.arg, s, &r->error);
    if (!s->freed && !slu_is_over(c))
        retire(c, s, false);
}

void slu_sub_end(sluice_client *c, uint64_t number, const struct sluice_error *why)
{
    sluice_client_sub *s = slu_sub_get(c, number);
    if (!s)
        return;
    if (s->o.on_end)
        s->o.on_end(s->o.arg, s, why);
    if (!s->freed && !slu_is_over(c))
        retire(c, s, false);
}

/* ---- the public calls ---- */

enum sluice_status sluice_client_subscribe(sluice_client *c, const char *filter, const struct sluice_sub_options *o,
                                           sluice_client_sub **out)
{
    static const struct sluice_sub_options none;
    if (!filter || !slu_filter_ok(slu_str(filter)))
        return SLUICE_EINVAL;
    if (c->doomed)
        return SLUICE_ESTATE;
    o = o ? o : &none;
    if (!options_ok(o, slu_filter_wild(slu_str(filter))))
        return SLUICE_EINVAL;
    sluice_client_sub *s = new_sub(c, filter, o);
    if (!s)
        return SLUICE_ENOMEM;
    if (!take_slot(c, s)) {
        free_sub(s);
        return SLUICE_ENOMEM;
    }
    enum sluice_status rc = index_plain(c, s) ? SLUICE_OK : SLUICE_ENOMEM;
    if (rc == SLUICE_OK && c->phase == SLU_PH_UP)
        rc = send_sub(c, s);
    if (rc != SLUICE_OK) {
        c->subs[s->slot] = NULL;
        unlink_sub(c, s);
        free_sub(s);
        return rc;
    }
    if (out)
        *out = s;
    return SLUICE_OK;
}

void sluice_client_unsubscribe(sluice_client_sub *s)
{
    sluice_client *c = s->client;
    if (s->freed || c->doomed)
        return;
    slu_enter(c);
    bool known = s->state != SLU_SUB_WAITING && s->state != SLU_SUB_REFUSED && c->phase == SLU_PH_UP;
    struct slu_pending *p = known ? slu_pending_new(c, SLU_P_UNSUB, NULL, NULL) : NULL;
    if (p) {
        p->sub_slot = s->slot;
        slu_put_u64(slu_tx_begin(c, "unsub"), "sub", (uint64_t)s->slot + 1);
        if (slu_tx_end(c, p->id, SLU_REC_BOUND) != SLUICE_OK)
            slu_pending_drop(c, p); /* the number stays taken until the connection goes */
    }
    retire(c, s, known);
    slu_leave(c);
}

const char *sluice_client_sub_filter(const sluice_client_sub *s)
{
    return s->filter;
}

sluice_client *sluice_client_sub_client(const sluice_client_sub *s)
{
    return s->client;
}

const char *sluice_client_sub_cursor(const sluice_client_sub *s)
{
    return s->cur ? s->cur : s->ok_cur;
}
