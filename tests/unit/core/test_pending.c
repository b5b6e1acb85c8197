/* What a subscription holds back: every message, or the newest of each key; and which keys a window has seen. */
#include "broker/core/pending.h"

#include <criterion/criterion.h>

static struct slu_account account;

static struct slu_msg *msg(const char *topic, const char *key, const char *payload)
{
    struct slu_msg_spec spec = { .topic = slu_str(topic), .key = slu_str(key), .payload = slu_str(payload) };
    return slu_msg_new(&account, &spec);
}

static enum slu_pending_put put(struct slu_pending *p, const char *topic, const char *key, const char *payload, bool window)
{
    struct slu_msg *m = msg(topic, key, payload);
    enum slu_pending_put rc = slu_pending_put(p, m, window);
    slu_msg_unref(m);
    return rc;
}

static void take(struct slu_pending *p, const char *payload, bool window)
{
    struct slu_msg *m = slu_pending_first(p);
    cr_assert(m && slu_bytes_eq(m->payload, slu_str(payload)), "want %s", payload);
    slu_pending_drop_first(p, window);
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
    cr_assert(put(&p, "a", NULL, "1", false) == SLU_PUT_NEW);
    cr_assert(put(&p, "a", NULL, "2", false) == SLU_PUT_NEW);
    cr_assert(put(&p, "b", NULL, "3", false) == SLU_PUT_NEW);
    cr_assert(p.n == 3 && p.bytes == atomic_load(&account.used));
    take(&p, "1", false);
    take(&p, "2", false);
    cr_assert(p.n == 1);
    end(&p);
}

Test(pending, by_topic_keeps_the_newest_at_the_place_of_the_first)
{
    struct slu_pending p;
    slu_pending_init(&p, SLU_PENDING_BY_TOPIC);
    put(&p, "a", "k", "a1", false);
    put(&p, "b", "k", "b1", false);
    cr_assert(put(&p, "a", "other", "a2 longer", false) == SLU_PUT_REPLACED);
    cr_assert(p.n == 2 && p.bytes == atomic_load(&account.used));
    take(&p, "a2 longer", false);
    take(&p, "b1", false);
    cr_assert(slu_pending_is_empty(&p) && p.bytes == 0);
    cr_assert(put(&p, "a", NULL, "a3", false) == SLU_PUT_NEW);
    end(&p);
}

Test(pending, by_key_crosses_topics_and_a_message_without_key_goes_by_topic)
{
    struct slu_pending p;
    slu_pending_init(&p, SLU_PENDING_BY_KEY);
    cr_assert(put(&p, "a", "k", "1", false) == SLU_PUT_NEW);
    cr_assert(put(&p, "b", "k", "2", false) == SLU_PUT_REPLACED);
    cr_assert(put(&p, "k", NULL, "3", false) == SLU_PUT_NEW, "topic k is not key k");
    cr_assert(put(&p, "k", NULL, "4", false) == SLU_PUT_REPLACED);
    take(&p, "2", false);
    take(&p, "4", false);
    end(&p);
}

Test(pending, a_window_gives_the_first_back_and_holds_the_rest)
{
    struct slu_pending p;
    slu_pending_init(&p, SLU_PENDING_BY_TOPIC);
    cr_assert(put(&p, "a", NULL, "1", true) == SLU_PUT_FIRST);
    cr_assert(p.n == 0 && p.n_sent == 1);
    cr_assert(put(&p, "a", NULL, "2", true) == SLU_PUT_NEW);
    cr_assert(put(&p, "a", NULL, "3", true) == SLU_PUT_REPLACED);
    cr_assert(put(&p, "b", NULL, "4", true) == SLU_PUT_FIRST);
    slu_pending_new_window(&p);
    cr_assert(p.n_sent == 0 && p.n == 1);
    take(&p, "3", true);
    cr_assert(p.n_sent == 1);
    cr_assert(put(&p, "a", NULL, "5", true) == SLU_PUT_NEW, "it went out in this window");
    cr_assert(put(&p, "b", NULL, "6", true) == SLU_PUT_FIRST);
    slu_pending_forget_sent(&p);
    cr_assert(p.n_sent == 0);
    cr_assert(put(&p, "b", NULL, "7", true) == SLU_PUT_FIRST);
    end(&p);
}
