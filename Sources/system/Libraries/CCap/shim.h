// Headers of the Debian package; linked through pkg-config.
#include <sys/capability.h>
