// SupervisorProtocol
