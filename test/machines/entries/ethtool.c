// Stands in for `ethtool -K DEVICE …` where that is not installed: turns off what a network card would do to a frame on its
// way out, and the switch in user space would not: checksums and the cutting of long frames.
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

int main(int count, char **words) {
  if (count < 3) return 2;
  const unsigned int off[] = {ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO, ETHTOOL_STXCSUM};
  int any = socket(AF_INET, SOCK_DGRAM, 0), failed = 0;
  for (unsigned int i = 0; i < sizeof off / sizeof *off; i++) {
    struct ethtool_value value = {.cmd = off[i], .data = 0};
    struct ifreq request = {.ifr_data = (char *)&value};
    strncpy(request.ifr_name, words[2], IFNAMSIZ - 1);
    if (ioctl(any, SIOCETHTOOL, &request)) { perror(words[2]); failed = 1; }
  }
  return failed;
}
