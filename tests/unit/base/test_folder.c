/* The default data folder. */
#include "broker/base/folder.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <unistd.h>

static void set(const char *name, const char *value)
{
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

Test(folder, the_first_place_that_is_there_counts, .timeout = 5)
{
    static const struct {
        bool dev, root;
        const char *state, *xdg, *home, *want;
    } rows[] = {
        { true, false, "/run/state", "/x", "/h/me", "./sluice-data" },
        { false, false, "/run/state", "/x", "/h/me", "/run/state" },
        { false, false, "/run/a:/run/b", "/x", "/h/me", "/run/a" },
        { false, false, NULL, "/x", "/h/me", "/x/sluice" },
        { false, false, "", "", "/h/me", "/h/me/.local/state/sluice" },
        { false, false, NULL, "relative", "/h/me", "/h/me/.local/state/sluice" },
        { false, true, NULL, "/x", "/h/me", "/var/lib/sluice" },
        { false, true, "/run/state", "/x", "/h/me", "/run/state" },
    };
    bool was_root = geteuid() == 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[256] = "";
        if (rows[i].root && !was_root)
            continue;
        set("STATE_DIRECTORY", rows[i].state);
        set("XDG_STATE_HOME", rows[i].xdg);
        set("HOME", rows[i].home);
        if (was_root && !rows[i].root)
            cr_assert(eq(int, seteuid(65534), 0));
        bool ok = slu_data_folder(rows[i].dev, out, sizeof(out));
        if (was_root && !rows[i].root)
            cr_assert(eq(int, seteuid(0), 0));
        cr_expect(ok);
        cr_expect(eq(str, out, (char *)rows[i].want));
    }
}

Test(folder, too_long_a_name_is_said, .timeout = 5)
{
    char out[16];
    setenv("STATE_DIRECTORY", "/a/folder/with/a/long/name", 1);
    cr_expect(not(slu_data_folder(false, out, sizeof(out))));
    cr_expect(slu_data_folder(true, out, sizeof(out)));
}
