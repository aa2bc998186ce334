/* SPDX-License-Identifier: Apache-2.0
 *
 * A connection string is a URI or keyword=value words; both take one more parameter. */
#include "cli/login.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/pg/pg.h"

static int is_uri(const char *conninfo)
{
    return strncmp(conninfo, "postgresql://", 13) == 0 || strncmp(conninfo, "postgres://", 11) == 0;
}

int login_complete(struct config *config, const char *login, struct error *error)
{
    const char *conninfo = config_text(config, OPT_DATABASE);
    const char *environment = getenv("PGUSER");
    char *password = NULL;
    char *user = NULL;
    if (!*conninfo) /* none, as for `weir schema check` */
        return 0;
    int code = pg_conninfo_value(conninfo, "password", &password, error);
    if (code == 0 && password && config_is_shown(config, OPT_DATABASE))
        code = error_set(error, ERROR_USAGE, "secret-shown",
                         "--database: a password on the command line shows in `ps`; put it into "
                         "~/.pgpass or the file that PGPASSFILE names, or into WEIR_DATABASE");
    free(password);
    if (code == 0)
        code = pg_conninfo_value(conninfo, "user", &user, error);
    if (code == 0 && !user && !(environment && *environment)) {
        char *text = is_uri(conninfo)
                         ? xasprintf("%s%suser=%s", conninfo, strchr(conninfo, '?') ? "&" : "?",
                                     login ? login : LOGIN_OWNER)
                         : xasprintf("user=%s %s", login ? login : LOGIN_OWNER, conninfo);
        config_replace(config, OPT_DATABASE, text);
        free(text);
    }
    free(user);
    return code;
}
