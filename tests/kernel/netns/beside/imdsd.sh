# systemd-imdsd with IMDSv2 of its own: a route that prohibits the address to everybody else; its sockets have a mark.
ip route add prohibit 169.254.169.254
ip rule add fwmark 0x7b4 lookup 2004 priority 100
ip route add default via 192.0.2.2 table 2004
ip -6 route add prohibit fd00:ec2::254
