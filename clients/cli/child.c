/* A child process with two pipes. SIGPIPE stays off in this process's writes: a child that does not read is no error. */
#include "clients/cli/child.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OUTPUT_MAX = 8 << 20, READ_BYTES = 16 * 1024 };

struct child {
    struct ev_loop *loop;
    int to, from; /* our ends */
    char *input, *output;
    size_t input_len, input_at, output_len, output_cap;
    bool exited, too_much;
    int status;
    slu_child_fn *done;
    void *arg;
    ev_io writer, reader;
    ev_child watcher;
};

static void close_end(struct child *c, ev_io *w, int *fd)
{
    ev_io_stop(c->loop, w);
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void finish_if_over(struct child *c)
{
    char text[64] = "the command failed";
    if (!c->exited || c->from >= 0)
        return;
    close_end(c, &c->writer, &c->to);
    bool ok = WIFEXITED(c->status) && WEXITSTATUS(c->status) == 0 && !c->too_much;
    if (c->too_much)
        snprintf(text, sizeof(text), "the command's output is too large");
    else if (WIFEXITED(c->status))
        snprintf(text, sizeof(text), "the command ended with %d", WEXITSTATUS(c->status));
    else if (WIFSIGNALED(c->status))
        snprintf(text, sizeof(text), "the command was ended by signal %d", WTERMSIG(c->status));
    c->done(c->arg, ok, ok ? c->output : text, ok ? c->output_len : strlen(text));
    free(c->input);
    free(c->output);
    free(c);
}

static void on_write(struct ev_loop *loop, ev_io *w, int events)
{
    struct child *c = w->data;
    (void)loop, (void)events;
    ssize_t n = send(c->to, c->input + c->input_at, c->input_len - c->input_at, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        c->input_at += (size_t)n;
    if (n < 0 || c->input_at == c->input_len)
        close_end(c, &c->writer, &c->to);
}

static void on_read(struct ev_loop *loop, ev_io *w, int events)
{
    struct child *c = w->data;
    (void)loop, (void)events;
    if (c->output_cap - c->output_len < READ_BYTES) {
        size_t cap = c->output_cap * 2 + READ_BYTES;
        char *more = cap > OUTPUT_MAX * 2 ? NULL : realloc(c->output, cap);
        if (!more) {
            c->too_much = true;
            close_end(c, &c->reader, &c->from);
            finish_if_over(c);
            return;
        }
        c->output = more;
        c->output_cap = cap;
    }
    ssize_t n = read(c->from, c->output + c->output_len, c->output_cap - c->output_len);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        c->output_len += (size_t)n;
        return;
    }
    close_end(c, &c->reader, &c->from);
    finish_if_over(c);
}

static void on_exit_of(struct ev_loop *loop, ev_child *w, int events)
{
    struct child *c = w->data;
    (void)events;
    c->exited = true;
    c->status = w->rstatus;
    ev_child_stop(loop, w);
    finish_if_over(c);
}

/* In the child. */
static _Noreturn void become(const char *command, char *const *env, int in, int out)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0) {
        for (; env && *env; env++)
            putenv(*env);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    }
    _exit(127);
}

static void watch(struct child *c, pid_t pid)
{
    fcntl(c->to, F_SETFL, O_NONBLOCK);
    fcntl(c->from, F_SETFL, O_NONBLOCK);
    ev_io_init(&c->writer, on_write, c->to, EV_WRITE);
    ev_io_init(&c->reader, on_read, c->from, EV_READ);
    ev_child_init(&c->watcher, on_exit_of, pid, 0);
    c->writer.data = c->reader.data = c->watcher.data = c;
    ev_child_start(c->loop, &c->watcher);
    ev_io_start(c->loop, &c->reader);
    if (c->input_len)
        ev_io_start(c->loop, &c->writer);
    else
        close_end(c, &c->writer, &c->to);
}

bool slu_child_run(struct ev_loop *loop, const char *command, char *const *env, const void *input, size_t len,
                   slu_child_fn *done, void *arg)
{
    int in[2] = { -1, -1 }, out[2] = { -1, -1 };
    pid_t pid = -1;
    struct child *c = calloc(1, sizeof(*c));
    char *copy = malloc(len + 1);
    /* A socket pair for its stdin: a pipe cannot be written without the risk of SIGPIPE. */
    if (!c || !copy || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) != 0 || pipe2(out, O_CLOEXEC) != 0)
        goto fail;
    memcpy(copy, input, len);
    pid = fork();
    if (pid == 0)
        become(command, env, in[0], out[1]);
    if (pid < 0)
        goto fail;
    close(in[0]);
    close(out[1]);
    *c = (struct child){
        .loop = loop, .to = in[1], .from = out[0], .input = copy, .input_len = len, .done = done, .arg = arg
    };
    watch(c, pid);
    return true;
fail:
    for (int i = 0; i < 2; i++) {
        if (in[i] >= 0)
            close(in[i]);
        if (out[i] >= 0)
            close(out[i]);
    }
    free(copy);
    free(c);
    return false;
}
