/* SPDX-License-Identifier: Apache-2.0
 *
 * A current ClickHouse server for the tests. Debian packages only 18.16, and npm ships 26.7 as a
 * library; one function of it is the main program of clickhouse-local, which can be told to listen.
 * The first argument is the library; all others are passed on. tests/lib/clickhouse.py starts it.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

typedef void *local_main(int argc, char **argv);

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s LIBRARY [OPTION of clickhouse-local ...]\n", argv[0]);
        return 2;
    }
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
    void *symbol = library ? dlsym(library, "query_stable_v2") : NULL;
    if (!symbol) {
        fprintf(stderr, "%s: %s\n", argv[0], dlerror());
        return 1;
    }
    local_main *serve;
    memcpy(&serve, &symbol, sizeof serve); /* ISO C has no cast from object to function pointer */
    argv[1] = argv[0];
    serve(argc - 1, argv + 1);
    return 0;
}
