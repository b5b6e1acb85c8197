/* For the tests of the SQLite engine alone: its file beside it, and pushing it until something is so. */
#pragma once

#include "tests/conformance/engine/suite.h"

/* The first column of the first row, through a connection of its own. */
int64_t file_number(const char *sql);
void file_run(const char *sql);
/* Ticks, and waits for a request, so that what the tick began has gone on. */
void push(struct sim *s);
