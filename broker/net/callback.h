/* The one callback that libwebsockets has into the broker, and its list of subprotocols. */
#pragma once

#include <libwebsockets.h>
#include <stdbool.h>

/* Entry 0 serves HTTP and connections that offer no subprotocol; then one for each name that an adapter answers to.
 * NULL when memory ran out. Freed with free(). */
struct lws_protocols *slu_callback_protocols(bool with_dev);
