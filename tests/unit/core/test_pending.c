/* What a subscription holds back: every message, or the newest of each key; and which keys rest until when. */
#include "broker/core/pending.h"

#include <criterion/criterion.h>

static struct slu_account account;

static struct slu_msg *msg(const char *topic, const char *key, const char *payload)
{
    struct slu_msg_spec spec = { .topic = slu_str(topic), .key = slu_str(key), .payload = slu_str(payload) };
    return slu_msg_new(&account, &spec);
}

static enum slu_pending_put put(struct slu_pending *p, const char *topic, const char *key, const char *payload,
                                uint64_t free_ms)
{
    struct slu_msg *m = msg(topic, key, payload);
    enum slu_pending_put rc = slu_pending_put(p, m, free_ms);
    slu_msg_unref(m);
    return rc;
}

static void take(struct slu_pending *p, const char *payload, uint64_t free_ms)
{
    struct slu_msg *m = slu_pending_first(p);
    cr_assert(m && slu_bytes_eq(m->payload, slu_str(payload)), "want %s", payload);
    slu_pending_drop_first(p, free_ms);
}

static void end(struct slu_pending *p)
{
    slu_pending_fini(p);
    cr_assert(atomic_load(&account.used) == 0);
}

Test(pending, each_keeps_all_in_order)
{
    struct slu_pending p;
    slu_pending_init(&p, SLU_PENDING_EACH);
    cr_assert(!slu_pending_first(&p));
    cr_assert(put(&p, "a", NULL, "1", 0) == SLU_PUT_NEW);
    cr_assert(put(&p, "a", NULL, "2", 0) == SLU_PUT_NEW);
    cr_assert(put(&p, "b", NULL, "3", 0) == SLU_PUT_NEW);
    cr_assert(p.n == 3 && p.bytes == atomic_load(&account.used));
    take(&p, "1", 0);
    take(&p, "2", 0);
    cr_assert(p.n == 1);
    end(&p);
}

Test(pending, by_topic_keeps_the_newest_at_the_place_of_the_first)
{
    struct slu_pending p;
    slu_pending_init(&p, SLU_PENDING_BY_TOPIC);
    put(&p, "a", "k", "a1", 0);
    put(&p, "b", "k", "b1", 0);
    cr_assert(put(&p, "a", "other", "a2 longer", 0) == SLU_PUT_REPLACED);
    cr_assert(p.n == 2 && p.bytes == atomic_load(&account.used));
    take(&p, "a2 longer", 0);
    take(&p, "b1", 0);
    cr_assert(slu_pending_is_empty(&p) && p.bytes == 0);
    cr_assert(put(&p, "a", NULL, "a3", 0) == SLU_PUT_NEW);
    end(&p);
}

Test(pending, by_key_crosses_topics_and_a_message_without_key_goes_by_topic)
{
    struct slu_pending p;
    slu_pending_init(&p, SLU_PENDING_BY_KEY);
    cr_assert(put(&p, "a", "k", "1", 0) == SLU_PUT_NEW);
    cr_assert(put(&p, "b", "k", "2", 0) == SLU_PUT_REPLACED);
    cr_assert(put(&p, "k", NULL, "3", 0) == SLU_PUT_NEW, "topic k is not key k");
    cr_assert(put(&p, "k", NULL, "4", 0) == SLU_PUT_REPLACED);
    take(&p, "2", 0);
    take(&p, "4", 0);
    end(&p);
}

Test(pending, a_key_that_went_out_rests)
{
    struct slu_pending p;
    slu_pending_init(&p, SLU_PENDING_BY_TOPIC);
    cr_assert(slu_pending_next_free(&p) == 0);
    cr_assert(put(&p, "a", NULL, "1", 110) == SLU_PUT_FIRST);
    cr_assert(p.n == 0 && p.n_idle == 1 && slu_pending_next_free(&p) == 110);
    cr_assert(put(&p, "a", NULL, "2", 120) == SLU_PUT_NEW);
    cr_assert(put(&p, "a", NULL, "3", 130) == SLU_PUT_REPLACED);
    cr_assert(put(&p, "b", NULL, "4", 150) == SLU_PUT_FIRST);
    cr_assert(!slu_pending_first(&p) && p.n == 1 && p.n_idle == 1);
    slu_pending_wake(&p, 109);
    cr_assert(!slu_pending_first(&p));
    slu_pending_wake(&p, 110);
    cr_assert(slu_pending_next_free(&p) == 150);
    take(&p, "3", 210);
    cr_assert(p.n == 0 && p.n_idle == 2);
    cr_assert(put(&p, "a", NULL, "5", 220) == SLU_PUT_NEW);
    slu_pending_wake(&p, 150);
    cr_assert(put(&p, "b", NULL, "6", 260) == SLU_PUT_FIRST, "its rest was over");
    cr_assert(slu_pending_next_free(&p) == 210);
    slu_pending_wake(&p, 1000);
    take(&p, "5", 0);
    cr_assert(p.n == 0 && p.n_idle == 0 && slu_pending_next_free(&p) == 0);
    end(&p);
}

Test(pending, at_the_bound_the_oldest_goes_wherever_it_is)
{
    struct slu_pending p;
    slu_pending_init(&p, SLU_PENDING_BY_TOPIC);
    put(&p, "a", NULL, "1", 110);
    put(&p, "b", NULL, "2", 0);
    put(&p, "a", NULL, "3", 0);
    put(&p, "c", NULL, "4", 0);
    cr_assert(p.n == 3 && p.n_idle == 0);
    slu_pending_drop_oldest(&p);
    slu_pending_drop_oldest(&p);
    cr_assert(p.n == 1 && p.n_idle == 1, "a still rests, without its value");
    cr_assert(put(&p, "a", NULL, "5", 120) == SLU_PUT_NEW);
    take(&p, "4", 0);
    slu_pending_drop_oldest(&p);
    cr_assert(p.n == 0 && p.n_idle == 1);
    slu_pending_forget_idle(&p);
    cr_assert(p.n_idle == 0);
    cr_assert(put(&p, "a", NULL, "6", 120) == SLU_PUT_FIRST);
    put(&p, "a", NULL, "7", 0);
    end(&p);
}
