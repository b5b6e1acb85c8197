/* What an identity may do. Rights are filters; `$SYS/` and `$DEAD/` are never written by clients. */
#pragma once

#include "broker/core/broker.h"

bool slu_rights_may_publish(const struct slu_identity *who, struct slu_bytes topic);
/* Every topic that the filter can match must be covered by one granted filter. */
bool slu_rights_may_subscribe(const struct slu_identity *who, struct slu_bytes filter);
