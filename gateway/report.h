/* SPDX-License-Identifier: Apache-2.0
 *
 * What a running gateway tells about itself: metrics, health, status, readings as they come. The
 * table of admin routes; handlers run on the admin server's threads.
 */
#ifndef TIDEGATE_REPORT_H
#define TIDEGATE_REPORT_H

#include "admin/admin.h"

extern const struct admin_route report_routes[];

#endif
