// Headers of the Debian package; linked through pkg-config.
#include <nftables/libnftables.h>
