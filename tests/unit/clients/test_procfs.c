/* The /proc parsers on texts as kernels print them, and on broken ones. */
#include "clients/cli/feed_json.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static struct slu_bytes text(const char *s)
{
    return slu_str(s);
}

/* ---- /proc/stat ---- */

static const char STAT[] = "cpu  100 10 50 800 20 3 7 10 5 5\n"
                           "cpu0 60 5 30 400 10 3 4 5 5 5\n"
                           "cpu2 40 5 20 400 10 0 3 5 0 0\n"
                           "intr 176024 0 0\n"
                           "ctxt 365727\n";

Test(procfs, stat_sums_jiffies_and_counts_guest_time_once)
{
    static struct slu_cpu_sample s;
    cr_assert(slu_procfs_stat(text(STAT), &s));
    cr_assert(eq(u64, s.all.user, 110));
    cr_assert(eq(u64, s.all.system, 60));
    cr_assert(eq(u64, s.all.iowait, 20));
    cr_assert(eq(u64, s.all.idle, 800));
    cr_assert(eq(u64, s.all.total, 1000));
}

Test(procfs, stat_keeps_a_cores_number_when_another_is_offline)
{
    static struct slu_cpu_sample s;
    cr_assert(slu_procfs_stat(text(STAT), &s));
    cr_assert(eq(sz, s.count, 3));
    cr_assert(eq(u64, s.core[1].total, 0));
    cr_assert(eq(u64, s.core[2].user, 45));
}

Test(procfs, stat_without_the_machines_line_is_refused)
{
    static struct slu_cpu_sample s;
    cr_assert(not(slu_procfs_stat(text(""), &s)));
    cr_assert(not(slu_procfs_stat(text("cpu 1 2\n"), &s)));
    cr_assert(not(slu_procfs_stat(text("cpux 1 2 3 4\nintr 4\n"), &s)));
}

Test(procfs, stat_ignores_core_numbers_beyond_the_bound)
{
    static struct slu_cpu_sample s;
    cr_assert(slu_procfs_stat(text("cpu 1 1 1 1\ncpu1024 1 1 1 1\ncpu99999999999999999999 1 1 1 1\n"), &s));
    cr_assert(eq(sz, s.count, 0));
}

Test(procfs, numbers_that_do_not_fit_saturate)
{
    static struct slu_cpu_sample s;
    cr_assert(slu_procfs_stat(text("cpu 99999999999999999999999 1 1 1\n"), &s));
    cr_assert(eq(u64, s.all.user, UINT64_MAX));
    cr_assert(eq(u64, s.all.total, UINT64_MAX));
}

/* ---- memory, load, uptime ---- */

Test(procfs, meminfo_is_bytes)
{
    struct slu_memory m;
    cr_assert(slu_procfs_meminfo(text("MemTotal:       24684092 kB\nMemFree:        24297720 kB\n"
                                      "MemAvailable:   24358296 kB\nBuffers:             800 kB\n"
                                      "Cached:           242080 kB\nSwapTotal: 2048 kB\nSwapFree: 1024 kB\n"),
                                 &m));
    cr_assert(eq(u64, m.total, UINT64_C(24684092) * 1024));
    cr_assert(eq(u64, m.available, UINT64_C(24358296) * 1024));
    cr_assert(eq(u64, m.swap_free, 1024 * 1024));
}

Test(procfs, meminfo_of_an_old_kernel_estimates_what_is_available)
{
    struct slu_memory m;
    cr_assert(slu_procfs_meminfo(text("MemTotal: 100 kB\nMemFree: 10 kB\nBuffers: 5 kB\nCached: 20 kB\n"), &m));
    cr_assert(eq(u64, m.available, 35 * 1024));
}

Test(procfs, meminfo_never_reports_more_available_than_there_is)
{
    struct slu_memory m;
    cr_assert(slu_procfs_meminfo(text("MemTotal: 100 kB\nMemAvailable: 99999999999999999999999 kB\n"), &m));
    cr_assert(eq(u64, m.available, m.total));
    cr_assert(not(slu_procfs_meminfo(text("MemFree: 10 kB\n"), &m)));
    cr_assert(not(slu_procfs_meminfo(text("MemTotal:\nMemTotal: x kB"), &m)));
}

Test(procfs, loadavg_reads_averages_and_tasks)
{
    struct slu_load l;
    cr_assert(slu_procfs_loadavg(text("0.42 1.50 12.00 3/90 5882\n"), &l));
    cr_assert(ieee_ulp_eq(dbl, l.one, 0.42, 2));
    cr_assert(ieee_ulp_eq(dbl, l.fifteen, 12.0, 2));
    cr_assert(eq(u64, l.running, 3));
    cr_assert(eq(u64, l.tasks, 90));
    cr_assert(not(slu_procfs_loadavg(text("0.42 nan 1"), &l)));
    cr_assert(not(slu_procfs_loadavg(text("0.42"), &l)));
}

Test(procfs, uptime_is_seconds)
{
    double s = 0;
    cr_assert(slu_procfs_uptime(text("350735.47 234388.90\n"), &s));
    cr_assert(ieee_ulp_eq(dbl, s, 350735.47, 2));
    cr_assert(not(slu_procfs_uptime(text(""), &s)));
}

/* ---- disks, network ---- */

static const char DISKS[] =
    "   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
    " 254       0 vda 48825 8049 3420770 7581 16286 7762 1855728 4775 0 5224 12738 4730 33 533504 299 2199 81\n"
    " 104       0 cciss/c0d0 1 2 3 4 5 6 7 8 9 10 11\n"
    " 8 0 sdz 1 2 3\n";

static bool not_virtual(const char *name)
{
    return !slu_procfs_disk_is_virtual(name);
}

Test(procfs, diskstats_of_any_kernel)
{
    struct slu_disk d[4];
    cr_assert(eq(sz, slu_procfs_diskstats(text(DISKS), not_virtual, d, 4), 2));
    cr_assert(eq(str, d[0].name, "vda"));
    cr_assert(eq(u64, d[0].reads, 48825));
    cr_assert(eq(u64, d[0].read_sectors, 3420770));
    cr_assert(eq(u64, d[0].writes, 16286));
    cr_assert(eq(u64, d[0].write_sectors, 1855728));
    cr_assert(eq(u64, d[0].busy_ms, 5224));
    cr_assert(eq(str, d[1].name, "cciss/c0d0"));
}

Test(procfs, diskstats_stops_at_the_callers_bound)
{
    struct slu_disk d[1];
    cr_assert(eq(sz, slu_procfs_diskstats(text(DISKS), NULL, d, 1), 1));
    cr_assert(eq(sz, slu_procfs_diskstats(text(DISKS), NULL, d, 0), 0));
}

Test(procfs, net_skips_headings_and_takes_names_glued_to_numbers)
{
    struct slu_net n[4];
    size_t got = slu_procfs_net(
        text(
            "Inter-|   Receive                            |  Transmit\n"
            " face |bytes    packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls\n"
            "    lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0  0 0 0\n"
            "  eth0:185807019    3555    1    2    0     0          0         0   148851    1853    3    4    0  0 0 "
            "0\n"),
        n, 4);
    cr_assert(eq(sz, got, 2));
    cr_assert(eq(str, n[0].name, "lo"));
    cr_assert(eq(str, n[1].name, "eth0"));
    cr_assert(eq(u64, n[1].rx_bytes, 185807019));
    cr_assert(eq(u64, n[1].rx_errors, 1));
    cr_assert(eq(u64, n[1].tx_bytes, 148851));
    cr_assert(eq(u64, n[1].tx_drops, 4));
}

/* ---- processes ---- */

#define REST " S 0 0 0 0 -1 4194560 36997 551601 0 625 50 175 1216 528 20 0 13 0 21 48259072 4141 184467"

Test(procfs, process_name_may_hold_spaces_and_parentheses)
{
    struct slu_process p;
    cr_assert(slu_procfs_process(text("42 (a) b (c d))" REST " 1 1\n"), &p));
    cr_assert(eq(str, p.name, "a) b (c d)"));
    cr_assert(eq(int, p.pid, 42));
    cr_assert(eq(u64, p.ticks, 225));
    cr_assert(eq(u64, p.start, 21));
    cr_assert(eq(u64, p.rss_pages, 4141));
}

Test(procfs, process_that_is_cut_off_is_refused)
{
    struct slu_process p;
    const char whole[] = "42 (x) S 0 0 0 0 -1 4194560 36997 551601 0 625 50 175 1216 528 20 0 13 0 21 48259072 4141";
    for (size_t n = 0; n < sizeof(whole) - 5; n++) {
        char *copy = malloc(n ? n : 1); /* its own block, so that the sanitizer sees a read past the end */
        memcpy(copy, whole, n);
        cr_assert(not(slu_procfs_process(slu_bytes(copy, n), &p)));
        free(copy);
    }
    cr_assert(not(slu_procfs_process(text("0 (x)" REST), &p)));
    cr_assert(not(slu_procfs_process(text("99999999999 (x)" REST), &p)));
    cr_assert(not(slu_procfs_process(text(")("), &p)));
}

/* ---- names ---- */

Test(procfs, cpu_model_and_os_name)
{
    char v[32];
    cr_assert(
        slu_procfs_cpu_model(text("processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\nmodel name\t: other\n"), v, 32));
    cr_assert(eq(str, v, "Fast CPU @ 3 GHz"));
    cr_assert(not(slu_procfs_cpu_model(text("Hardware : board\n"), v, 32)));
    cr_assert(slu_procfs_os_name(text("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"), v, 32));
    cr_assert(eq(str, v, "Debian GNU/Linux 12 (bookworm)"));
    cr_assert(slu_procfs_os_name(text("PRETTY_NAME=a name that is longer than the room for it\n"), v, 8));
    cr_assert(eq(str, v, "a name "));
}

static void check_level(const char *name, size_t cap, const char *want)
{
    char v[80];
    slu_procfs_topic_level(name, v, cap);
    cr_expect(eq(str, v, (char *)want));
}

Test(procfs, topic_levels_hold_nothing_that_a_topic_may_not)
{
    check_level("web-1.example.org", 65, "web-1.example.org");
    check_level("a/b+c#d e\tf", 65, "a-b-c-d-e-f");
    check_level("$SYS", 65, "-SYS");
    check_level("", 65, "-");
    check_level("b\xc3\xbcro", 65, "b\xc3\xbcro");
    check_level("b\xc3\xbcro", 3, "b");    /* cut between characters */
    check_level("b\xfcro", 65, "b-ro");    /* Latin-1 */
    check_level("a\xc2\x85z", 65, "a--z"); /* a control character above 127 */
    check_level("0123456789", 5, "0123");
}

/* ---- figures between two samples ---- */

Test(procfs, percentages_and_rates_never_leave_their_range)
{
    cr_assert(ieee_ulp_eq(dbl, slu_host_percent(10, 35, 100, 200), 25.0, 2));
    cr_assert(ieee_ulp_eq(dbl, slu_host_percent(0, 500, 0, 100), 100.0, 2));
    cr_assert(ieee_ulp_eq(dbl, slu_host_percent(35, 10, 100, 200), 0.0, 2));
    cr_assert(ieee_ulp_eq(dbl, slu_host_percent(10, 35, 200, 200), 0.0, 2));
    cr_assert(ieee_ulp_eq(dbl, slu_host_rate(100, 200, 0.25), 400.0, 2));
    cr_assert(ieee_ulp_eq(dbl, slu_host_rate(200, 100, 0.25), 0.0, 2));
    cr_assert(ieee_ulp_eq(dbl, slu_host_rate(100, 200, 0), 0.0, 2));
}

static struct slu_process process(int pid, uint64_t start, uint64_t ticks, uint64_t rss)
{
    return (struct slu_process){ .name = "p", .pid = pid, .start = start, .ticks = ticks, .rss_pages = rss };
}

Test(procfs, busiest_processes_come_first_and_a_reused_pid_is_a_new_process)
{
    struct slu_process before[] = { process(1, 5, 100, 7), process(2, 5, 900, 9), process(3, 5, 50, 1) };
    struct slu_process now[] = { process(1, 5, 150, 7), process(2, 8, 20, 9), process(3, 5, 50, 99),
                                 process(4, 9, 10, 1) };
    struct slu_process_window w = { .newest = 1, .n = 2 };
    w.list[0] = (struct slu_process_list){ .at_ns = 0, .v = before, .n = 3 };
    w.list[1] = (struct slu_process_list){ .at_ns = 1000000000, .v = now, .n = 4 };
    struct slu_process_share top[3];
    cr_assert(eq(sz, slu_host_busiest(&w, 4, 100, top, 3), 3));
    cr_assert(eq(int, top[0].p->pid, 1));
    cr_assert(ieee_ulp_eq(dbl, top[0].cpu, 50.0, 2));
    cr_assert(eq(int, top[1].p->pid, 2));
    cr_assert(ieee_ulp_eq(dbl, top[1].cpu, 20.0, 2));
    cr_assert(eq(int, top[2].p->pid, 4));
}

Test(procfs, one_process_list_gives_no_shares)
{
    struct slu_process now[] = { process(1, 5, 150, 7) };
    struct slu_process_window w = { .newest = 0, .n = 1 };
    w.list[0] = (struct slu_process_list){ .at_ns = 1, .v = now, .n = 1 };
    struct slu_process_share top[3];
    cr_assert(eq(sz, slu_host_busiest(&w, 1, 100, top, 3), 0));
}

/* ---- payloads ---- */

static void check_json(struct slu_buf *b, const char *want)
{
    cr_assert(not(b->failed));
    slu_buf_add_byte(b, 0);
    cr_expect(eq(str, (char *)b->data, (char *)want));
    slu_buf_clear(b);
}

Test(procfs, payloads_are_the_documented_json)
{
    static struct slu_cpu_sample a, b;
    struct slu_buf out;
    slu_buf_init(&out, 0);
    slu_procfs_stat(text("cpu 100 0 100 800 0\ncpu0 100 0 100 800 0\n"), &a);
    slu_procfs_stat(text("cpu 150 0 125 850 25 0\ncpu0 150 0 125 850 25\n"), &b);
    slu_feed_json_cpu(&a, &b, &out);
    check_json(&out, "{\"total\":50.0,\"user\":33.3,\"system\":16.7,\"iowait\":16.7,\"cores\":[50.0]}");

    struct slu_process p = process(7, 1, 2, 3);
    memcpy(p.name, "a\"\xff", 4);
    struct slu_process_share top = { &p, 12.34 };
    slu_feed_json_processes(&top, 1, 90, 4096, &out);
    check_json(&out, "{\"count\":90,\"top\":[{\"pid\":7,\"name\":\"a\\\"\xef\xbf\xbd\",\"cpu\":12.3,\"rss\":12288}]}");

    struct slu_disk d0 = { .reads = 0 }, d1 = { .reads = 10, .read_sectors = 8, .busy_ms = 500 };
    slu_feed_json_disk(&d0, &d1, 0.5, &out);
    check_json(&out, "{\"read\":8192,\"write\":0,\"read_iops\":20.0,\"write_iops\":0.0,\"busy\":100.0}");
    slu_buf_fini(&out);
}
