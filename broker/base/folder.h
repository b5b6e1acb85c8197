/* Where what outlives the process is kept when nobody says: the same rule for the daemon and for the tools. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* dev: ./sluice-data. Otherwise the first of $STATE_DIRECTORY (which systemd sets), /var/lib/sluice for root,
 * $XDG_STATE_HOME/sluice, ~/.local/state/sluice. Nothing is made. False: there is no place for this user, or its name
 * is too long for out. */
bool slu_data_folder(bool dev, char *out, size_t cap);
