"""The child processes of `bakvakt up`: servers, services, webhook receiver, simulated fleet."""
