-P INPUT ACCEPT
-P FORWARD ACCEPT
-P OUTPUT ACCEPT
-N with blank
-N new
line
-N tab	x
-N quo"te
-N "
-N INPUT 
-N 
[0:0] -A INPUT -m comment --comment "two
lines" -j ACCEPT
[0:0] -A INPUT -m comment --comment "x
-A OUTPUT -d fd00:ec2::254/128 -j ACCEPT
COMMIT
# y" -j ACCEPT
[0:0] -A INPUT -m comment --comment "
" -j ACCEPT
[0:0] -A INPUT -m comment --comment "crx" -j ACCEPT
[0:0] -A INPUT -m comment --comment "crlf
" -j ACCEPT
[0:0] -A INPUT -m comment --comment "tab	here" -j ACCEPT
[0:0] -A INPUT -m comment --comment "bell nul-less " -j ACCEPT
[0:0] -A INPUT -m comment --comment "c1 ›31m" -j ACCEPT
[0:0] -A INPUT -m comment --comment "" -j ACCEPT
[0:0] -A INPUT -j quo"te
[0:0] -A INPUT -j "
[0:0] -A INPUT -j 
[0:0] -A INPUT -i a b -j ACCEPT
[0:0] -A INPUT -i a"b -j ACCEPT
[0:0] -A INPUT -i a'b -j ACCEPT
[0:0] -A INPUT -i a\b -j ACCEPT
[0:0] -A INPUT -i a
b -j ACCEPT
[0:0] -A INPUT -i !x -j ACCEPT
[0:0] -A INPUT -i -j -j ACCEPT
[0:0] -A INPUT -i ++ -j ACCEPT
[0:0] -A INPUT -i a+b -j ACCEPT
[0:0] -A INPUT -i ÿ -j ACCEPT
[0:0] -A INPUT -j LOG --log-prefix " "
[0:0] -A INPUT -j NFLOG --nflog-prefix  " "
[0:0] -A INPUT -j LOG --log-prefix "\""
[0:0] -A INPUT -j NFLOG --nflog-prefix  "\""
[0:0] -A INPUT -j LOG --log-prefix "ü"
[0:0] -A INPUT -j NFLOG --nflog-prefix  "ü"
[0:0] -A INPUT -m string --hex-string "|0102|" --algo bm --to 65535 -j DROP
[0:0] -A INPUT -m string --hex-string "|610a62|" --algo bm --to 65535 -j DROP
[0:0] -A INPUT -m string --string "a|b" --algo bm --to 65535 -j DROP
[0:0] -A INPUT -m string --hex-string "|c3bc|" --algo bm --to 65535 -j DROP
[0:0] -A INPUT -m recent --set --name with blank --mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff --rsource 
[0:0] -A INPUT -m hashlimit --hashlimit-upto 1/sec --hashlimit-burst 5 --hashlimit-name with blank -j DROP
[0:0] -A INPUT -m helper --helper "with blank" -j DROP
[0:0] -A INPUT -m recent --set --name quo"te --mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff --rsource 
[0:0] -A INPUT -m hashlimit --hashlimit-upto 1/sec --hashlimit-burst 5 --hashlimit-name quo"te -j DROP
[0:0] -A INPUT -m helper --helper "quo\"te" -j DROP
[0:0] -A INPUT -m recent --set --name a
b --mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff --rsource 
[0:0] -A INPUT -m hashlimit --hashlimit-upto 1/sec --hashlimit-burst 5 --hashlimit-name a
b -j DROP
[0:0] -A INPUT -m helper --helper "a
b" -j DROP
[0:0] -A INPUT -m helper --helper "a/b" -j DROP
