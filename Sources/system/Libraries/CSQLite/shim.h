// Headers of the Debian package; linked through pkg-config.
#include <sqlite3.h>
