/* Accepted sockets whose PROXY header is still to come. */
#pragma once

#include "broker/net/link.h"

/* Reads the header, then adopts. Takes fd over; on failure both are gone. */
void slu_waiting_begin(struct slu_link *l, int fd);
/* Gives the socket up and frees the link. */
void slu_waiting_end(struct slu_link *l);
