"""What must be so before a cluster is made: facts asked of AWS and of this machine, each judged."""
