/* In place of `sluice admin` where the build has no SQLite. */
#include "clients/cli/cli.h"

int slu_cli_admin(struct cli *cli, int argc, char **argv)
{
    (void)argc, (void)argv;
    slu_cli_error(cli, "this sluice was built without SQLite, so it has no admin commands");
    return CLI_LOCAL;
}
