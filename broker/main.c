/* sluiced: the command line, the configuration, then the daemon's life. */
#include "broker/base/log.h"
#include "broker/config/cmdline.h"
#include "broker/signals.h"
#include "broker/wiring.h"
#include "storage/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { EXIT_START_FAILED = 1, ERROR_MAX = 1 << 16 };

static void print_error(const struct slu_buf *error)
{
    if (error->len == 0)
        return;
    fputs("sluiced: ", stderr);
    fwrite(error->data, 1, error->len, stderr);
    if (error->data[error->len - 1] != '\n')
        fputc('\n', stderr);
}

static int print_out(const struct slu_buf *text)
{
    bool ok = !text->failed && fwrite(text->data, 1, text->len, stdout) == text->len && fflush(stdout) == 0;
    return ok ? EXIT_SUCCESS : EXIT_START_FAILED;
}

static int print_with(void (*print)(struct slu_buf *out))
{
    struct slu_buf text;
    slu_buf_init(&text, 0);
    print(&text);
    int status = print_out(&text);
    slu_buf_fini(&text);
    return status;
}

static int print_config(struct slu_config *cfg)
{
    struct slu_buf text;
    slu_buf_init(&text, 0);
    slu_config_print(cfg, &text);
    int status = print_out(&text);
    slu_buf_fini(&text);
    slu_config_free(cfg);
    return status;
}

static int serve(struct slu_config *cfg, const struct slu_config_sources *src, struct slu_buf *error)
{
    struct slu_server *server;
    slu_signals_init();
    if (!slu_server_start(cfg, src, error, &server)) {
        print_error(error);
        return EXIT_START_FAILED;
    }
    slu_server_announce(server);
    slu_signals_serve(server);
    slu_server_free(server);
    slu_log(SLU_LOG_INFO, "main", "stopped", NULL);
    return EXIT_SUCCESS;
}

static int run(const struct slu_cmdline *line, struct slu_buf *error)
{
    struct slu_config_sources src = {
        .file = line->config,
        .environ = environ,
        .sets = line->sets,
        .n_sets = line->n_sets,
        .dev = line->dev,
        .has_disk = slu_engine_for_disk != NULL,
        .machine_memory = slu_machine_memory(),
    };
    struct slu_config *cfg;
    if (!slu_config_load(&src, &cfg, error)) {
        print_error(error);
        return SLU_EXIT_MISTAKE;
    }
    switch (line->action) {
    case SLU_ACTION_CHECK_CONFIG:
        for (size_t i = 0; i < cfg->warnings.n; i++)
            fprintf(stderr, "sluiced: warning: %s\n", cfg->warnings.items[i]);
        slu_config_free(cfg);
        return EXIT_SUCCESS;
    case SLU_ACTION_PRINT_CONFIG:
        return print_config(cfg);
    default:
        return serve(cfg, &src, error);
    }
}

int main(int argc, char **argv)
{
    struct slu_cmdline line;
    struct slu_buf error;
    int status;
    slu_buf_init(&error, ERROR_MAX);
    if (!slu_cmdline_parse(argc, argv, &line, &error)) {
        print_error(&error);
        status = SLU_EXIT_MISTAKE;
    } else if (line.action == SLU_ACTION_VERSION) {
        status = puts("sluiced " SLUICE_VERSION) < 0 ? EXIT_START_FAILED : EXIT_SUCCESS;
    } else if (line.action == SLU_ACTION_HELP) {
        status = print_with(slu_config_print_help);
    } else if (line.action == SLU_ACTION_PRINT_SAMPLE) {
        status = print_with(slu_config_print_sample);
    } else {
        status = run(&line, &error);
    }
    slu_cmdline_fini(&line);
    slu_buf_fini(&error);
    return status;
}
