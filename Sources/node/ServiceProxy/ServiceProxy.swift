// ServiceProxy
