/* What the two halves of the subscriptions share: keeping them, and handing messages to them. */
#pragma once

#include "clients/c/src/client.h"
#include "clients/c/src/topic.h"
