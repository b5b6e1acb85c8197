/* `sluice`: sets up one invocation and hands it to the command table. */
#include "clients/cli/commands.h"
#include "clients/cli/flags.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct cli cli = { .server = getenv("SLUICE_URL"), .token = getenv("SLUICE_TOKEN") };
    const char *plain = getenv("NO_COLOR");
    bool colors = !(plain && *plain);
    int skipped, code;
    cli.out_tty = isatty(STDOUT_FILENO);
    cli.err_tty = isatty(STDERR_FILENO);
    cli.color_out = colors && cli.out_tty;
    cli.color_err = colors && cli.err_tty;
    skipped = slu_cli_leading_flags(&cli, argc - 1, argv + 1, &code);
    if (skipped < 0)
        return code;
    if (argc - 1 - skipped == 0) {
        return slu_cli_dispatch(&cli, 0, NULL);
    }
    code = slu_cli_dispatch(&cli, argc - 1 - skipped, argv + 1 + skipped);
    if (fflush(stdout) != 0 && code == CLI_OK)
        code = CLI_LOCAL;
    return code;
}
