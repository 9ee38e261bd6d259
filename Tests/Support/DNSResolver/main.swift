// The resolver's process role for tests of ClusterDNS; noded has it as a hidden subcommand.

import ClusterDNS
import Glibc

exit(ResolverProcess.run(Array(CommandLine.arguments.dropFirst())))
