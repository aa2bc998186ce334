/* SPDX-License-Identifier: Apache-2.0
 *
 * The table is generated at build time (lib/base/embed/embed.c). */
#include "lib/pg/statement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/asset.h"

const char *statement(const char *name)
{
    for (size_t i = 0; i < embedded_statement_count; i++)
        if (strcmp(embedded_statements[i].name, name) == 0)
            return embedded_statements[i].text;
    fprintf(stderr, "weir: there is no statement %s in sql/statements/\n", name);
    abort();
}
