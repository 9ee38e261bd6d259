// Headers of the Debian package; linked through pkg-config.
#include <seccomp.h>
