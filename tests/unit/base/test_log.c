/* Log lines as they reach stderr: one line an event, escaped, shortened, limited, and never waited for. */
#include "broker/base/log.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static int pipe_ends[2], old_stderr;
static char seen[8192];

static void capture(void)
{
    cr_assert(eq(int, pipe(pipe_ends), 0));
    old_stderr = dup(STDERR_FILENO);
    dup2(pipe_ends[1], STDERR_FILENO);
    fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK);
}

/* What has been written since the last call, without the time stamp of the first line. */
static const char *captured(void)
{
    ssize_t n = read(pipe_ends[0], seen, sizeof(seen) - 1);
    seen[n > 0 ? n : 0] = '\0';
    return n > 25 ? seen + 25 : seen;
}

static void release(void)
{
    dup2(old_stderr, STDERR_FILENO);
    close(old_stderr);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

#define LOGS(want) cr_expect(strcmp(captured(), want) == 0, "got %s", seen)

Test(log, a_line_has_time_level_area_event_and_fields)
{
    capture();
    slu_log(SLU_LOG_INFO, "net", "conn_open", "conn=%s bytes=%d", "c1", 7);
    const char *line = captured();
    release();
    cr_assert(eq(str, (char *)line, "info net conn_open conn=c1 bytes=7\n"));
    cr_assert(seen[4] == '-' && seen[10] == 'T' && seen[23] == 'Z');
}

Test(log, levels_above_the_set_one_are_silent)
{
    capture();
    slu_log(SLU_LOG_DEBUG, "net", "frame", NULL);
    LOGS("");
    slu_log_set_level(SLU_LOG_DEBUG);
    cr_expect(slu_log_enabled(SLU_LOG_DEBUG));
    slu_log(SLU_LOG_DEBUG, "net", "frame", NULL);
    LOGS("debug net frame\n");
    slu_log_set_level(SLU_LOG_ERROR);
    slu_log(SLU_LOG_WARN, "net", "frame", NULL);
    LOGS("");
    release();
}

Test(log, control_characters_and_bad_text_are_escaped)
{
    capture();
    slu_log(SLU_LOG_ERROR, "a", "b", "x=%s", "1\n2\x1b[0m\x7f \xc2\x85 \xff \xe2\x80\xa8 \xc3\xa9");
    LOGS("error a b x=1\\x0a2\\x1b[0m\\x7f \\xc2\\x85 \\xff \\xe2\\x80\\xa8 \xc3\xa9\n");
    release();
}

Test(log, long_lines_are_cut_and_say_so)
{
    char text[5000];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    capture();
    slu_log(SLU_LOG_ERROR, "a", "b", "x=%s", text);
    captured();
    release();
    cr_assert(lt(sz, strlen(seen), 2049));
    cr_assert(eq(str, seen + strlen(seen) - 4, "...\n"));
}

Test(log, a_quoted_value_cannot_pose_as_fields)
{
    char out[64], small[12], tiny[4];
    cr_assert(eq(str, (char *)slu_log_quote(out, sizeof(out), SLU_LIT("a b=\"c\"\\\n")), "\"a b=\\\"c\\\"\\\\\\x0a\""));
    cr_assert(eq(str, (char *)slu_log_quote(out, sizeof(out), SLU_LIT("")), "\"\""));
    cr_assert(eq(str, (char *)slu_log_quote(small, sizeof(small), SLU_LIT("123456789")), "\"123456789\""));
    cr_assert(eq(str, (char *)slu_log_quote(small, sizeof(small), SLU_LIT("1234567890")), "\"123456...\""));
    cr_assert(
        eq(str, (char *)slu_log_quote(small, sizeof(small), SLU_LIT("12345\xc3\xa9\xc3\xa9\xc3\xa9")), "\"12345...\""));
    cr_assert(eq(str, (char *)slu_log_quote(tiny, sizeof(tiny), SLU_LIT("x")), ""));
}

Test(log, a_limited_site_counts_what_it_holds_back)
{
    struct slu_log_limit limit = { 0 };
    int allowed = 0;
    for (int i = 0; i < 100; i++)
        allowed += slu_log_allowed(&limit, 5);
    cr_assert(allowed == 5 || allowed == 10); /* the second may have changed on the way */
    /* as if the second were over */
    limit.second--;
    limit.count = 25;
    cr_assert(slu_log_allowed(&limit, 5));
    capture();
    slu_log(SLU_LOG_WARN, "a", "b", "x=1");
    const char *line = captured();
    release();
    cr_assert(not(zero(ptr, strstr(line, "held_back="))));
}

Test(log, a_reader_of_stderr_that_stopped_is_not_waited_for, .timeout = 10)
{
    capture();
    for (int i = 0; i < 5000; i++)
        slu_log(SLU_LOG_ERROR, "a", "b", "a line that nobody reads, number=%d", i);
    while (read(pipe_ends[0], seen, sizeof(seen)) > 0)
        ;
    slu_log(SLU_LOG_ERROR, "a", "b", NULL);
    captured();
    release();
    cr_assert(not(zero(ptr, strstr(seen, "warn log lines_dropped n="))));
    cr_assert(not(zero(ptr, strstr(seen, "error a b\n"))));
}

Test(log, a_reader_of_stderr_that_left_does_no_harm)
{
    capture();
    close(pipe_ends[0]);
    slu_log(SLU_LOG_ERROR, "a", "b", NULL); /* SIGPIPE would end the test here */
    pipe_ends[0] = dup(old_stderr);
    release();
}

Test(log, a_closed_stderr_does_no_harm)
{
    int keep = dup(STDERR_FILENO);
    close(STDERR_FILENO);
    slu_log(SLU_LOG_ERROR, "a", "b", "x=%d", 1);
    dup2(keep, STDERR_FILENO);
    close(keep);
}
