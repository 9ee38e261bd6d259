// `wire VERB …`: the other end of the API's measurements.
//
//   echo       a bare NIO TLS server that answers every request with the same bytes
//   broadcast  a bare NIO TLS server that sends the same frame to all of its clients, again and again
//   watch      many TLS clients that watch, and check that nothing is lost or out of order
//   write      TLS clients that send numbered requests, as fast as they are answered or at a given rate
//
// Results are one line of `name=value` words on standard output. Exit code: 0 done, 1 failed, 64 wrong command line.

let arguments = Arguments()
raiseOpenFiles()
do {
    switch arguments.verb {
    case "echo": try Echo.run(arguments)
    case "broadcast": try Broadcast.run(arguments)
    case "watch": try Watch.run(arguments)
    case "write": try Writers.run(arguments)
    default: Arguments.end(64, "usage: wire echo|broadcast|watch|write --option value …")
    }
} catch {
    Arguments.end(1, "\(arguments.verb): \(error)")
}
