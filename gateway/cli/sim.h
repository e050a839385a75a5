/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate sim`. argv[0] is the verb; returns an exit code.
 */
#ifndef TIDEGATE_CLI_SIM_H
#define TIDEGATE_CLI_SIM_H

int verb_sim(int argc, char **argv);

#endif
