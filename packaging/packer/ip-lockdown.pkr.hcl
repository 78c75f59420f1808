# Builds an AMI whose instances are locked at every boot, before the network is up. The build fails if the lockdown does
# not work on the build instance.
#
#   packer init plugins.pkr.hcl                  # Packer 1.7 and newer: fetches the Amazon plugin
#   packer build -only='amazon-ebs.*' -var package=ip-lockdown_0.1.0-1_amd64.deb -var source_ami=ami-... \
#     -var region=eu-west-1 ip-lockdown.pkr.hcl
#
# The same steps on an existing machine, without building an image:
#
#   packer build -only='null.*' -var package=... -var host=192.0.2.7 ip-lockdown.pkr.hcl

variable "package" {
  description = "The .deb or .rpm of ip-lockdown on this machine."
  type        = string
}

variable "users" {
  description = "Who may reach the metadata service: names, uids and uid ranges, separated by blanks."
  type        = string
  default     = "root"
}

variable "region" {
  type    = string
  default = "us-east-1"
}

variable "source_ami" {
  description = "Debian, Ubuntu, Amazon Linux 2023, RHEL 9 or similar."
  type        = string
  default     = ""
}

variable "instance_type" {
  type    = string
  default = "t3.micro"
}

variable "ssh_username" {
  description = "The login user, who must be able to use sudo: admin, ubuntu, ec2-user."
  type        = string
  default     = "admin"
}

variable "ssh_private_key_file" {
  description = "The key for `host`. For an AMI, Packer creates a key of its own."
  type        = string
  default     = ""
}

variable "host" {
  type    = string
  default = ""
}

source "amazon-ebs" "locked" {
  region        = var.region
  source_ami    = var.source_ami
  instance_type = var.instance_type
  ssh_username  = var.ssh_username
  ami_name      = "ip-lockdown-{{timestamp}}"
}

source "null" "machine" {
  ssh_host             = var.host
  ssh_username         = var.ssh_username
  ssh_private_key_file = var.ssh_private_key_file
}

build {
  sources = ["source.amazon-ebs.locked", "source.null.machine"]

  # Put your own provisioners before these. After provision.sh has run, only the users above reach the metadata service,
  # also in the rest of the build.
  provisioner "file" {
    source      = var.package
    destination = "/tmp/${basename(var.package)}"
  }

  provisioner "shell" {
    script           = "${path.root}/provision.sh"
    environment_vars = ["PACKAGE=/tmp/${basename(var.package)}", "USERS=${var.users}"]
    execute_command  = "chmod +x {{ .Path }} && sudo env {{ .Vars }} {{ .Path }}"
  }
}
