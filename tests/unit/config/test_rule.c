/* Topic rules: defaults by log, the built-in rule, what is refused. */
#include "support.h"

#include "broker/config/option.h"
#include "broker/core/rules.h"

Test(rule, built_in_rule_stands_where_the_file_has_none, .timeout = 5)
{
    struct slu_config *c = load_good((struct given){ .text = "topics: [{ filter: a, log: none }]\n" });
    cr_assert(eq(sz, c->n_rules, 2));
    cr_expect(eq(str, c->rules[1].filter, "#"));
    cr_expect(eq(uint, c->rules[1].line, 0));
    cr_expect(eq(int, (int)c->rules[1].core.log, SLU_LOG_MEMORY));
    cr_expect(eq(u64, c->rules[1].core.max_count, 100));
    cr_expect(eq(u64, c->rules[1].core.max_age_ms, 600000));
    cr_expect(c->rules[1].core.last_value);
    slu_config_free(c);
}

Test(rule, built_in_rule_is_the_cores_default, .timeout = 5)
{
    struct slu_config *c = load_good((struct given){ .text = "" });
    const struct slu_rule *got = &c->rules[0].core, *want = &slu_rule_default;
    cr_expect(slu_bytes_eq(got->filter, want->filter));
    cr_expect(eq(int, (int)got->log, (int)want->log));
    cr_expect(eq(u64, got->max_count, want->max_count));
    cr_expect(eq(u64, got->max_bytes, want->max_bytes));
    cr_expect(eq(u64, got->max_age_ms, want->max_age_ms));
    cr_expect(eq(int, got->last_value, want->last_value));
    cr_expect(eq(int, got->presence, want->presence));
    cr_expect(eq(int, (int)got->overflow, (int)want->overflow));
    cr_expect(eq(int, (int)got->ack, (int)want->ack));
    cr_expect(eq(u64, got->max_size, want->max_size));
    cr_expect(eq(u64, got->max_rate, want->max_rate));
    cr_expect(eq(int, (int)got->payload, (int)want->payload));
    slu_config_free(c);
}

Test(rule, built_in_rule_can_be_taken_away, .timeout = 5)
{
    struct slu_config *c = load_good((struct given){ .text = "topics:\n- filter: '#'\n  log: none\n" });
    cr_assert(eq(sz, c->n_rules, 1));
    cr_expect(eq(int, (int)c->rules[0].core.log, SLU_LOG_NONE));
    cr_expect(not(c->rules[0].core.last_value));
    slu_config_free(c);
}

Test(rule, defaults_follow_the_log, .timeout = 5)
{
    struct slu_config *c = load_good((struct given){
        .has_disk = true,
        .text = "data: d\ntopics:\n- filter: a\n- { filter: b, log: disk }\n- { filter: c, log: none }\n",
    });
    cr_expect(eq(u64, c->rules[0].core.max_count, 100));
    cr_expect(eq(u64, c->rules[0].core.max_bytes, 8 << 20));
    cr_expect(eq(u64, c->rules[1].core.max_count, 0));
    cr_expect(eq(u64, c->rules[1].core.max_age_ms, 0));
    cr_expect(eq(u64, c->rules[1].core.max_bytes, 1 << 30));
    cr_expect(c->rules[1].core.last_value);
    cr_expect(not(c->rules[2].core.last_value));
    cr_expect(eq(int, (int)c->rules[2].core.overflow, SLU_OVERFLOW_DEFAULT));
    slu_config_free(c);
}

Test(rule, all_keys_arrive, .timeout = 5)
{
    struct slu_config *c = load_good((struct given){
        .text = "topics:\n"
                "- max-count: 1\n"
                "  filter: 'a/+/b'\n"
                "  max-bytes: 2kB\n"
                "  max-age: 3s\n"
                "  last-value: no\n"
                "  presence: off\n"
                "  overflow: drop-oldest\n"
                "  ack: none\n"
                "  max-rate: 120/m\n"
                "  max-size: 5\n"
                "  payload: binary\n"
                "  indexed: [headers.region, data.px]\n"
                "  publish: []\n"
                "  subscribe: [ann, bob]\n"
                "  local: true\n",
    });
    const struct slu_config_rule *r = &c->rules[0];
    cr_expect(eq(u64, r->core.max_count, 1));
    cr_expect(eq(u64, r->core.max_bytes, 2000));
    cr_expect(eq(u64, r->core.max_age_ms, 3000));
    cr_expect(not(r->core.last_value));
    cr_expect(not(r->core.presence));
    cr_expect(eq(int, (int)r->core.overflow, SLU_OVERFLOW_DROP_OLDEST));
    cr_expect(eq(int, (int)r->core.ack, SLU_ACK_NONE));
    cr_expect(eq(u64, r->core.max_rate, 2));
    cr_expect(eq(u64, r->core.max_size, 5));
    cr_expect(eq(int, (int)r->core.payload, SLU_PAYLOAD_BINARY));
    cr_expect(eq(sz, r->indexed.n, 2));
    cr_expect(r->publish.set);
    cr_expect(eq(sz, r->publish.n, 0));
    cr_assert(eq(sz, r->subscribe.n, 2));
    cr_expect(eq(str, r->subscribe.items[1], "bob"));
    cr_expect(r->local);
    cr_expect(not(c->rules[1].publish.set), "left out differs from empty");
    slu_config_free(c);
}

Test(rule, filters_are_checked, .timeout = 5)
{
    expect_error((struct given){ .text = "topics:\n- log: none\n" },
                 "sluice.yaml:2: this topic rule has no filter; add for example filter: \"prices/#\"\n");
    expect_error_part((struct given){ .text = "topics:\n- filter: 'a/#/b'\n" },
                      "sluice.yaml:2: filter takes a topic filter, such as prices/# or host/+/cpu, not \"a/#/b\"\n");
    expect_error((struct given){ .text = "topics:\n- filter: x\n- filter: 'a'\n- filter: x\n" },
                 "sluice.yaml:4: the filter \"x\" has a rule in line 2 already\n");
}

Test(rule, promises_that_cannot_be_kept_are_refused, .timeout = 5)
{
    expect_error((struct given){ .text = "data: d\ntopics:\n- filter: a\n  log: disk\n" },
                 "sluice.yaml:4: log: disk is not possible: this build of sluiced has no disk engine; use memory\n");
    expect_error_part((struct given){ .text = "topics:\n- filter: a\n  log: none\n  overflow: pause\n" },
                      "sluice.yaml:4: overflow: pause needs a log");
    expect_error_part((struct given){ .text = "topics:\n- filter: a\n  ack: stored\n" },
                      "sluice.yaml:3: ack: stored needs log: disk");
    expect_error_part((struct given){ .text = "topics:\n- filter: a\n  ack: replicated\n" },
                      "sluice.yaml:3: ack: replicated needs Redis");
    expect_error_part((struct given){ .no_rule_users = true, .text = "topics:\n- filter: a\n  subscribe: [ann]\n" },
                      "sluice.yaml:3: publish and subscribe are not possible in a rule");
    expect_error_part((struct given){ .text = "topics:\n- filter: a\n  max-size: 2MiB\n" },
                      "sluice.yaml:3: max-size is more than limits.payload");
    expect_error((struct given){ .text = "topics:\n- filter: a\n  log: dsik\n" },
                 "sluice.yaml:3: log takes one of none, memory, disk, not \"dsik\"\n");
    expect_error_part((struct given){ .text = "topics:\n- filter: a\n  indexed: [px]\n" },
                      "indexed \"px\" is not a field, such as headers.region or data.px");
}

Test(rule, data_from_a_later_source_counts, .timeout = 5)
{
    slu_config_free(load_good((struct given){
        .has_disk = true, .text = "topics:\n- filter: a\n  log: disk\n", .sets = { { "--data", "data", "/d" } } }));
}
