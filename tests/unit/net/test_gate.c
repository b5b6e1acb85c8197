/* Bounds on connections and on their rate, in total and for each address, on a clock that the tests turn. */
#include "broker/net/gate.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>

static struct slu_gate *gate;

static void set_up(void)
{
    gate = slu_gate_new();
    cr_assert(ne(ptr, gate, NULL));
}

static void tear_down(void)
{
    slu_gate_free(gate);
}

TestSuite(gate, .init = set_up, .fini = tear_down);

static struct slu_ip ip_of(const char *text)
{
    struct slu_ip ip;
    cr_assert(slu_ip_parse(slu_str(text), &ip), "%s", text);
    return ip;
}

static int enter(const struct slu_gate_bounds *b, const char *text, uint64_t now_ms)
{
    struct slu_ip ip = ip_of(text);
    return (int)slu_gate_enter(gate, b, &ip, now_ms);
}

static int move(const struct slu_gate_bounds *b, const char *from, const char *to, uint64_t now_ms)
{
    struct slu_ip from_ip = ip_of(from), to_ip = ip_of(to);
    return (int)slu_gate_move(gate, b, &from_ip, &to_ip, now_ms);
}

static void leave(const char *text)
{
    struct slu_ip ip = ip_of(text);
    slu_gate_leave(gate, &ip);
}

Test(gate, without_bounds_all_come_in)
{
    static const struct slu_gate_bounds none = { 0 };
    for (unsigned i = 0; i < 1000; i++)
        cr_assert(eq(int, enter(&none, "192.0.2.1", 0), SLU_GATE_OPEN));
    cr_assert(eq(sz, slu_gate_count(gate), 1000));
    for (unsigned i = 0; i < 1000; i++)
        leave("192.0.2.1");
    cr_assert(eq(sz, slu_gate_count(gate), 0));
}

Test(gate, the_total_is_bounded_over_all_addresses)
{
    static const struct slu_gate_bounds b = { .total = 2 };
    cr_assert(eq(int, enter(&b, "192.0.2.1", 0), SLU_GATE_OPEN));
    cr_assert(eq(int, enter(&b, "192.0.2.2", 0), SLU_GATE_OPEN));
    cr_assert(eq(int, enter(&b, "192.0.2.3", 0), SLU_GATE_TOTAL));
    cr_assert(eq(sz, slu_gate_count(gate), 2));
    leave("192.0.2.1");
    cr_assert(eq(int, enter(&b, "192.0.2.3", 0), SLU_GATE_OPEN));
    cr_assert(eq(int, enter(&b, "192.0.2.1", 0), SLU_GATE_TOTAL));
}

Test(gate, each_address_is_bounded_by_itself)
{
    static const struct slu_gate_bounds b = { .per_address = 2 };
    cr_assert(eq(int, enter(&b, "192.0.2.1", 0), SLU_GATE_OPEN));
    cr_assert(eq(int, enter(&b, "192.0.2.1", 0), SLU_GATE_OPEN));
    cr_assert(eq(int, enter(&b, "192.0.2.1", 0), SLU_GATE_ADDRESS));
    cr_assert(eq(int, enter(&b, "192.0.2.2", 0), SLU_GATE_OPEN));
    cr_assert(eq(sz, slu_gate_count(gate), 3));
    leave("192.0.2.1");
    cr_assert(eq(int, enter(&b, "192.0.2.1", 0), SLU_GATE_OPEN));
    cr_assert(eq(int, enter(&b, "192.0.2.1", 60000), SLU_GATE_ADDRESS));
}

Test(gate, an_ipv6_address_stands_for_its_64)
{
    static const struct slu_gate_bounds b = { .per_address = 1 };
    cr_assert(eq(int, enter(&b, "2001:db8::1", 0), SLU_GATE_OPEN));
    cr_assert(eq(int, enter(&b, "2001:db8::ffff:0:0:2", 0), SLU_GATE_ADDRESS));
    cr_assert(eq(int, enter(&b, "2001:db8:0:1::1", 0), SLU_GATE_OPEN));
    leave("2001:db8::3");
    cr_assert(eq(int, enter(&b, "2001:db8::2", 0), SLU_GATE_OPEN));
}

Test(gate, mapped_ipv4_is_the_same_address)
{
    static const struct slu_gate_bounds b = { .per_address = 1 };
    cr_assert(eq(int, enter(&b, "192.0.2.1", 0), SLU_GATE_OPEN));
    cr_assert(eq(int, enter(&b, "::ffff:192.0.2.1", 0), SLU_GATE_ADDRESS));
}

Test(gate, unix_sockets_count_in_the_total_only)
{
    static const struct slu_gate_bounds b = { .total = 3, .per_address = 1, .rate_per_address = 1 };
    static const struct slu_ip none = { .kind = SLU_IP_NONE };
    for (unsigned i = 0; i < 3; i++)
        cr_assert(eq(int, (int)slu_gate_enter(gate, &b, &none, 0), SLU_GATE_OPEN));
    cr_assert(eq(int, (int)slu_gate_enter(gate, &b, &none, 0), SLU_GATE_TOTAL));
    slu_gate_leave(gate, &none);
    cr_assert(eq(sz, slu_gate_count(gate), 2));
}

Test(gate, the_rate_is_a_bucket_that_fills_in_a_second)
{
    static const struct slu_gate_bounds b = { .rate = 4 };
    for (unsigned i = 0; i < 4; i++)
        cr_assert(eq(int, enter(&b, "192.0.2.1", 5000), SLU_GATE_OPEN));
    cr_assert(eq(int, enter(&b, "192.0.2.2", 5000), SLU_GATE_RATE));
    cr_assert(eq(int, enter(&b, "192.0.2.2", 5249), SLU_GATE_RATE));
    cr_assert(eq(int, enter(&b, "192.0.2.2", 5250), SLU_GATE_OPEN));
    cr_assert(eq(int, enter(&b, "192.0.2.2", 5250), SLU_GATE_RATE));
    cr_assert(eq(sz, slu_gate_count(gate), 5));
    for (unsigned i = 0; i < 4; i++) /* an hour makes no larger burst */
        cr_assert(eq(int, enter(&b, "192.0.2.1", 3600000), SLU_GATE_OPEN));
    cr_assert(eq(int, enter(&b, "192.0.2.1", 3600000), SLU_GATE_RATE));
}

Test(gate, each_address_has_a_rate_of_its_own)
{
    static const struct slu_gate_bounds b = { .rate_per_address = 2 };
    for (unsigned i = 0; i < 2; i++) {
        cr_assert(eq(int, enter(&b, "192.0.2.1", 1000), SLU_GATE_OPEN));
        cr_assert(eq(int, enter(&b, "192.0.2.2", 1000), SLU_GATE_OPEN));
    }
    cr_assert(eq(int, enter(&b, "192.0.2.1", 1000), SLU_GATE_RATE));
    cr_assert(eq(int, enter(&b, "192.0.2.2", 1499), SLU_GATE_RATE));
    cr_assert(eq(int, enter(&b, "192.0.2.1", 1500), SLU_GATE_OPEN));
    cr_assert(eq(int, enter(&b, "192.0.2.1", 1500), SLU_GATE_RATE));
}

Test(gate, going_and_coming_back_fills_no_bucket)
{
    static const struct slu_gate_bounds b = { .rate_per_address = 2 };
    for (unsigned i = 0; i < 2; i++) {
        cr_assert(eq(int, enter(&b, "192.0.2.1", 1000), SLU_GATE_OPEN));
        leave("192.0.2.1");
    }
    cr_assert(eq(int, enter(&b, "192.0.2.1", 1001), SLU_GATE_RATE));
    cr_assert(eq(int, enter(&b, "192.0.2.9", 1002), SLU_GATE_OPEN));
    cr_assert(eq(int, enter(&b, "192.0.2.1", 1003), SLU_GATE_RATE));
    cr_assert(eq(int, enter(&b, "192.0.2.1", 2003), SLU_GATE_OPEN));
}

Test(gate, a_clock_that_steps_back_gives_nothing)
{
    static const struct slu_gate_bounds b = { .rate = 1 };
    cr_assert(eq(int, enter(&b, "192.0.2.1", 5000), SLU_GATE_OPEN));
    cr_assert(eq(int, enter(&b, "192.0.2.1", 1000), SLU_GATE_RATE));
}

Test(gate, one_refused_by_its_address_costs_the_others_no_token)
{
    static const struct slu_gate_bounds b = { .per_address = 1, .rate = 2 };
    cr_assert(eq(int, enter(&b, "192.0.2.1", 1000), SLU_GATE_OPEN));
    for (unsigned i = 0; i < 10; i++)
        cr_assert(eq(int, enter(&b, "192.0.2.1", 1000), SLU_GATE_ADDRESS));
    cr_assert(eq(int, enter(&b, "192.0.2.2", 1000), SLU_GATE_OPEN));
    cr_assert(eq(int, enter(&b, "192.0.2.3", 1000), SLU_GATE_RATE));
    cr_assert(eq(sz, slu_gate_count(gate), 2));
}

Test(gate, bounds_may_change_between_calls)
{
    struct slu_gate_bounds b = { .per_address = 3 };
    for (unsigned i = 0; i < 3; i++)
        cr_assert(eq(int, enter(&b, "192.0.2.1", 0), SLU_GATE_OPEN));
    b.per_address = 1;
    leave("192.0.2.1");
    cr_assert(eq(int, enter(&b, "192.0.2.1", 0), SLU_GATE_ADDRESS));
    b.per_address = 3;
    cr_assert(eq(int, enter(&b, "192.0.2.1", 0), SLU_GATE_OPEN));
    b.total = 3;
    cr_assert(eq(int, enter(&b, "192.0.2.2", 0), SLU_GATE_TOTAL));
}

Test(gate, a_move_changes_the_address_and_not_the_total)
{
    static const struct slu_gate_bounds b = { .total = 2, .per_address = 1 };
    cr_assert(eq(int, enter(&b, "10.0.0.1", 0), SLU_GATE_OPEN));
    cr_assert(eq(int, move(&b, "10.0.0.1", "192.0.2.1", 0), SLU_GATE_OPEN));
    cr_assert(eq(sz, slu_gate_count(gate), 1));
    cr_assert(eq(int, enter(&b, "10.0.0.1", 0), SLU_GATE_OPEN));
    cr_assert(eq(int, move(&b, "10.0.0.1", "192.0.2.1", 0), SLU_GATE_ADDRESS));
    leave("192.0.2.1");
    cr_assert(eq(int, enter(&b, "10.0.0.1", 0), SLU_GATE_ADDRESS)); /* the one refused is still counted there */
    cr_assert(eq(int, move(&b, "10.0.0.1", "192.0.2.1", 0), SLU_GATE_OPEN));
    cr_assert(eq(sz, slu_gate_count(gate), 1));
}

Test(gate, many_addresses_come_and_go)
{
    static const struct slu_gate_bounds b = { .per_address = 1, .rate_per_address = 1 };
    for (uint64_t now = 0; now < 20000; now++) {
        struct slu_ip ip = { .kind = SLU_IP_V4, .bytes = { 10, 0, (uint8_t)(now >> 8), (uint8_t)now } };
        cr_assert(eq(int, (int)slu_gate_enter(gate, &b, &ip, now), SLU_GATE_OPEN));
        cr_assert(eq(int, (int)slu_gate_enter(gate, &b, &ip, now), SLU_GATE_ADDRESS));
        slu_gate_leave(gate, &ip);
        cr_assert(eq(int, (int)slu_gate_enter(gate, &b, &ip, now), SLU_GATE_RATE));
    }
    cr_assert(eq(sz, slu_gate_count(gate), 0));
}

enum { THREADS = 4, ROUNDS = 5000, PLACES = 3 };

static void *come_and_go(void *arg)
{
    static const struct slu_gate_bounds b = { .total = PLACES };
    struct slu_ip ip = { .kind = SLU_IP_V4, .bytes = { 10, 0, 0, 1 } };
    bool *is_over = arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (slu_gate_enter(gate, &b, &ip, i) != SLU_GATE_OPEN)
            continue;
        if (slu_gate_count(gate) > PLACES)
            *is_over = true;
        slu_gate_leave(gate, &ip);
    }
    return NULL;
}

Test(gate, threads_never_exceed_the_total)
{
    pthread_t threads[THREADS];
    bool is_over[THREADS] = { false };
    for (unsigned i = 0; i < THREADS; i++)
        cr_assert(eq(int, pthread_create(&threads[i], NULL, come_and_go, &is_over[i]), 0));
    for (unsigned i = 0; i < THREADS; i++) {
        cr_assert(eq(int, pthread_join(threads[i], NULL), 0));
        cr_expect(not(is_over[i]));
    }
    cr_assert(eq(sz, slu_gate_count(gate), 0));
}
