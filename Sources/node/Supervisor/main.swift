// The supervisor of one pod: holds its containers while noded comes and goes. Started by noded from a sealed memfd
// with these descriptors:
//
//     0 /dev/null   1, 2 its own error log   3 the control socket, bound, not yet listening
//     4 noded's first connection
//
// It never exits by itself: noded asks it to (shutdown), or kills it. Then its containers die with it (PDEATHSIG, and
// noded kills the pod's cgroup).

import CSupervisor
import SupervisorProtocolE

_ = sup_hide()
sup_umask(0o077)
do throws(Failure) {
    let supervisor = try Supervisor(listener: 3, first: 4)
    supervisor.run()
} catch {
    var text = bytes("supervisor: cannot start: errno ")
    text.append(decimal: Int(error.errno))
    text.append(10)
    writeAll(2, text)
    sup_exit(1)
}
