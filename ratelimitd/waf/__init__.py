"""The web application firewall: from ModSecurity's rule language to programs. The control plane only."""
